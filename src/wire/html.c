/*
 * Links in HTML, for the API's proxy paths: see html.h. The attributes that are
 * links, and what becomes of them, are those of Kubernetes' proxy
 * (apimachinery, util/proxy/transport.go).
 *
 * The page is not parsed, only cut into text, start tags, comments and the
 * elements whose content is no markup (script, style and their like), and a
 * value is changed where it stands: everything else leaves as it came, byte for
 * byte. To add an attribute: a row in html_attrs.
 */
#include "wire/html.h"

#define HTML_TAG_MAX (64u << 10)

enum html_state {
	HTML_TEXT,
	HTML_OPEN, /* behind "<" */
	HTML_TAG, /* in a start tag, which is gathered */
	HTML_LONG, /* in one that is too long to be */
	HTML_BANG, /* behind "<!", "<!-" */
	HTML_DECL, /* up to ">" */
	HTML_COMMENT, /* up to "-->" */
	HTML_RAW, /* up to the end tag of h->raw */
};

static const struct {
	const char *element, *attrs; /* attrs: words */
} html_attrs[] = {
	{ "a", "href" },
	{ "applet", "codebase" },
	{ "area", "href" },
	{ "audio", "src" },
	{ "base", "href" },
	{ "blockquote", "cite" },
	{ "body", "background" },
	{ "button", "formaction" },
	{ "command", "icon" },
	{ "del", "cite" },
	{ "embed", "src" },
	{ "form", "action" },
	{ "frame", "longdesc src" },
	{ "head", "profile" },
	{ "html", "manifest" },
	{ "iframe", "longdesc src" },
	{ "img", "longdesc src usemap" },
	{ "input", "src usemap formaction" },
	{ "ins", "cite" },
	{ "link", "href" },
	{ "object", "classid codebase data usemap" },
	{ "q", "cite" },
	{ "script", "src" },
	{ "source", "src" },
	{ "video", "poster src" },
};

/* Elements whose content is not markup. */
static const char *const html_raw[] = { "script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes" };

static bool html_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool html_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char html_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* --- one link --- */

/* Is what stands behind the host an absolute path? */
static bool html_is_path(struct str s)
{
	return s.n && s.p[0] == '/';
}

/* Cuts "//host" off; false: there is none. */
static bool html_authority(struct str *rest, struct str *host)
{
	size_t n = 2;

	if (!str_starts(*rest, STR_LIT("//")))
		return false;
	while (n < rest->n && rest->p[n] != '/' && rest->p[n] != '?' && rest->p[n] != '#')
		n++;
	*host = str_sub(*rest, 2, n);
	*rest = str_sub(*rest, n, rest->n);
	return true;
}

static bool html_has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

void html_link(const struct html_base *base, struct str url, struct buf *out)
{
	struct str rest = url, host = STR_NONE, origin;

	if (str_starts(url, STR_LIT("http://")))
		rest = str_sub(url, strlen("http:"), url.n);
	else if (str_starts(url, STR_LIT("https://")))
		rest = str_sub(url, strlen("https:"), url.n);
	if (!html_authority(&rest, &host) && rest.p != url.p)
		rest = url;
	if (!html_is_path(rest) || html_has_control(url) ||
	    (host.n && !str_eq(host, base->host) && !str_eq(host, base->asked))) {
		buf_addstr(out, url);
		return;
	}
	origin = str_n(url.p, (size_t)(rest.p - url.p));
	if (!host.n || str_eq(host, base->asked))
		buf_addstr(out, host.n ? origin : STR_LIT(""));
	if (!str_starts(rest, base->prefix))
		buf_addstr(out, base->prefix);
	buf_addstr(out, rest);
}

/* --- a start tag --- */

static bool html_word_in(const char *words, struct str w)
{
	struct str rest = str_of(words);

	while (rest.p)
		if (str_ieq(str_cut(&rest, ' '), w))
			return true;
	return false;
}

static const char *html_attrs_of(struct str element)
{
	for (size_t i = 0; i < ARRAY_SIZE(html_attrs); i++)
		if (str_ieq(element, str_of(html_attrs[i].element)))
			return html_attrs[i].attrs;
	return NULL;
}

static struct str html_raw_of(struct str element)
{
	for (size_t i = 0; i < ARRAY_SIZE(html_raw); i++)
		if (str_ieq(element, str_of(html_raw[i])))
			return str_of(html_raw[i]);
	return STR_NONE;
}

/* The value at i, without its quotes; i is moved behind it. */
static struct str html_value(struct str t, size_t *i)
{
	char quote = *i < t.n && (t.p[*i] == '"' || t.p[*i] == '\'') ? t.p[*i] : 0;
	size_t from = *i + (quote ? 1 : 0), to = from;

	while (to < t.n && (quote ? t.p[to] != quote : !html_is_space(t.p[to]) && t.p[to] != '>'))
		to++;
	*i = to + (quote ? 1 : 0);
	return str_sub(t, from, to);
}

static size_t html_skip_space(struct str t, size_t i)
{
	while (i < t.n && html_is_space(t.p[i]))
		i++;
	return i;
}

static struct str html_name(struct str t, size_t *i, const char *stop)
{
	size_t from = *i;

	while (*i < t.n && !html_is_space(t.p[*i]) && !strchr(stop, t.p[*i]))
		(*i)++;
	return str_sub(t, from, *i);
}

/* t: "<a href=/x>", whole. */
static void html_tag(const struct html_base *base, struct str t, const char *attrs, size_t i, struct buf *out)
{
	size_t done = 0;

	while (i < t.n) {
		struct str name, value;
		size_t at;

		i = html_skip_space(t, i);
		at = i;
		name = html_name(t, &i, "=>/");
		i = html_skip_space(t, i);
		if (i >= t.n || t.p[i] != '=') {
			i += i == at;
			continue;
		}
		i = html_skip_space(t, i + 1);
		value = html_value(t, &i);
		if (!html_word_in(attrs, name))
			continue;
		buf_add(out, t.p + done, (size_t)(value.p - t.p) - done);
		html_link(base, value, out);
		done = (size_t)(value.p - t.p) + value.n;
	}
	buf_add(out, t.p + done, t.n - done);
}

static void html_tag_end(struct html_links *h, struct buf *out)
{
	struct str t = buf_str(&h->tag), element;
	size_t i = 1;
	const char *attrs;

	element = html_name(t, &i, ">/");
	attrs = html_attrs_of(element);
	if (attrs)
		html_tag(&h->base, t, attrs, i, out);
	else
		buf_addstr(out, t);
	h->raw = html_raw_of(element);
	h->state = h->raw.n ? HTML_RAW : HTML_TEXT;
	h->match = 0;
	buf_clear(&h->tag);
}

/* --- the page --- */

/* One more byte of a tag: where does it end? */
static bool html_tag_byte(struct html_links *h, char c)
{
	if (h->quote) {
		if (c == h->quote)
			h->quote = 0;
		return false;
	}
	if (c == '>')
		return true;
	if (h->value && (c == '"' || c == '\''))
		h->quote = c;
	if (!html_is_space(c))
		h->value = c == '=';
	return false;
}

static void html_gather(struct html_links *h, char c, struct buf *out)
{
	bool end = html_tag_byte(h, c);

	buf_addch(&h->tag, c);
	if (end) {
		html_tag_end(h, out);
	} else if (h->tag.len >= HTML_TAG_MAX) {
		buf_addstr(out, buf_str(&h->tag));
		buf_clear(&h->tag);
		h->state = HTML_LONG;
	}
}

/* Behind "<": a start tag, a comment or declaration, or text like any other. */
static void html_opened(struct html_links *h, char c, struct buf *out)
{
	h->match = 0;
	if (html_is_letter(c)) {
		h->state = HTML_TAG;
		h->quote = 0;
		h->value = false;
		buf_addch(&h->tag, '<');
		buf_addch(&h->tag, c);
		return;
	}
	buf_addch(out, '<');
	if (c == '<')
		return;
	buf_addch(out, c);
	h->state = c == '!' ? HTML_BANG : c == '?' ? HTML_DECL : HTML_TEXT;
}

static void html_bang(struct html_links *h, char c)
{
	if (c == '-' && ++h->match == 2) {
		h->state = HTML_COMMENT;
		h->match = 2; /* "<!-->" is a comment already */
	} else if (c != '-') {
		h->state = c == '>' ? HTML_TEXT : HTML_DECL;
	}
}

static void html_comment(struct html_links *h, char c)
{
	if (c == '-')
		h->match += h->match < 2;
	else if (c == '>' && h->match == 2)
		h->state = HTML_TEXT;
	else
		h->match = 0;
}

static void html_raw_byte(struct html_links *h, char c)
{
	char want = h->match == 0 ? '<' : h->match == 1 ? '/' : h->raw.p[h->match - 2];

	if (html_lower(c) != want)
		h->match = c == '<';
	else if (++h->match == h->raw.n + 2)
		h->state = HTML_TEXT;
}

/* Anything but text and tags: passed on, and looked at for its end. */
static void html_other(struct html_links *h, char c, struct buf *out)
{
	buf_addch(out, c);
	switch (h->state) {
	case HTML_LONG:
		if (html_tag_byte(h, c))
			h->state = HTML_TEXT;
		break;
	case HTML_BANG:
		html_bang(h, c);
		break;
	case HTML_DECL:
		if (c == '>')
			h->state = HTML_TEXT;
		break;
	case HTML_COMMENT:
		html_comment(h, c);
		break;
	default:
		html_raw_byte(h, c);
	}
}

void html_links_feed(struct html_links *h, struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		if (h->state == HTML_TEXT) {
			const char *lt = memchr(in.p + i, '<', in.n - i);
			size_t n = lt ? (size_t)(lt - in.p) - i : in.n - i;

			buf_add(out, in.p + i, n);
			i += n;
			h->state = lt ? HTML_OPEN : HTML_TEXT;
		} else if (h->state == HTML_OPEN) {
			html_opened(h, in.p[i], out);
		} else if (h->state == HTML_TAG) {
			html_gather(h, in.p[i], out);
		} else {
			html_other(h, in.p[i], out);
		}
	}
}

void html_links_end(struct html_links *h, struct buf *out)
{
	if (h->state == HTML_OPEN)
		buf_addch(out, '<');
	buf_addstr(out, buf_str(&h->tag));
	h->state = HTML_TEXT;
	html_links_release(h);
}

void html_links_release(struct html_links *h)
{
	buf_release(&h->tag);
}
