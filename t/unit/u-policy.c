/*
 * NetworkPolicies: each case says what the cluster has and what then may be spoken
 * between whom, all of it (the truth tables of Kubernetes' own "Netpol" tests). What
 * the kernel would be told is played by a kernel of this file's own, which is as
 * strict about the order of things.
 *
 * The cluster: namespaces x, y, z labelled ns=x, ..., in each the pods a, b, c
 * labelled pod=a, ..., serving ports 80 and 81 of three protocols by the names
 * serve-80-tcp, ...; and two hosts outside, e and f.
 */
#include <netinet/in.h>

#include "base/vec.h"
#include "svc/policy.h"
#include "t/unit/tap.h"

/* --- a kernel --- */

struct k_set {
	bool there;
	int kind;
	VEC(struct net_policy_elem) v;
};
struct k_chain {
	bool there;
	VEC(struct net_policy_op) v;
};
struct k_guard {
	struct net_addr addr;
	int dir;
	uint32_t chain;
};
#define K_MAX 40000
static struct k_set k_sets[K_MAX];
static struct k_chain k_chains[K_MAX];
static VEC(struct k_guard) k_guards;
static unsigned k_faults; /* what a kernel would have refused */
static size_t k_ops;

static void k_check(bool good, const char *what)
{
	if (good)
		return;
	printf("# the kernel: %s\n", what);
	k_faults++;
}

static void k_reset(void)
{
	for (size_t i = 0; i < K_MAX; i++) {
		VEC_RELEASE(&k_sets[i].v);
		VEC_RELEASE(&k_chains[i].v);
		k_sets[i].there = k_chains[i].there = false;
	}
	VEC_RELEASE(&k_guards);
}

static bool k_set_in_use(uint32_t id)
{
	for (size_t i = 0; i < K_MAX; i++)
		for (size_t k = 0; k < k_chains[i].v.n; k++)
			if (k_chains[i].v.v[k].verb == NET_POLICY_ACCEPT &&
			    (k_chains[i].v.v[k].set == id || k_chains[i].v.v[k].peer == id))
				return true;
	return false;
}

static bool k_chain_in_use(uint32_t id)
{
	for (size_t i = 0; i < K_MAX; i++)
		for (size_t k = 0; k < k_chains[i].v.n; k++)
			if (k_chains[i].v.v[k].verb == NET_POLICY_CALL && k_chains[i].v.v[k].to == id)
				return true;
	for (size_t i = 0; i < k_guards.n; i++)
		if (k_guards.v[i].chain == id)
			return true;
	return false;
}

static ssize_t k_elem(const struct k_set *s, const struct net_policy_elem *e)
{
	for (size_t i = 0; i < s->v.n; i++)
		if (memcmp(&s->v.v[i], e, sizeof(*e)) == 0)
			return (ssize_t)i;
	return -1;
}

static ssize_t k_guard(const struct net_addr *a, int dir)
{
	for (size_t i = 0; i < k_guards.n; i++)
		if (k_guards.v[i].dir == dir && net_addr_equal(&k_guards.v[i].addr, a))
			return (ssize_t)i;
	return -1;
}

static void k_do_set(const struct net_policy_op *op)
{
	struct k_set *s = &k_sets[op->set];
	ssize_t at;

	switch (op->verb) {
	case NET_POLICY_SET:
		k_check(!s->there, "a set made twice");
		s->there = true;
		s->kind = op->kind;
		break;
	case NET_POLICY_UNSET:
		k_check(s->there && !k_set_in_use(op->set), "a set taken away that is in use, or not there");
		s->there = false;
		VEC_RELEASE(&s->v);
		break;
	case NET_POLICY_ADD:
		k_check(s->there && s->kind == op->kind && k_elem(s, &op->elem) < 0, "an element added twice");
		VEC_PUSH(&s->v, op->elem);
		break;
	default:
		at = k_elem(s, &op->elem);
		k_check(s->there && at >= 0, "an element taken away that is not there");
		if (at >= 0)
			VEC_REMOVE(&s->v, (size_t)at);
	}
}

static void k_do_guard(const struct net_policy_op *op)
{
	ssize_t at = k_guard(&op->elem.addr, op->dir);

	if (op->verb == NET_POLICY_GUARD) {
		k_check(at < 0 && (!op->chain || k_chains[op->chain].there), "an address guarded twice, or by nothing");
		VEC_PUSH(&k_guards, ((struct k_guard){ op->elem.addr, op->dir, op->chain }));
		return;
	}
	k_check(at >= 0, "an address unguarded that was not guarded");
	if (at >= 0)
		VEC_REMOVE(&k_guards, (size_t)at);
}

static void k_do_chain(const struct net_policy_op *op)
{
	struct k_chain *c = &k_chains[op->chain];

	switch (op->verb) {
	case NET_POLICY_CHAIN:
		c->there = true;
		VEC_RELEASE(&c->v);
		return;
	case NET_POLICY_UNCHAIN:
		k_check(c->there && !k_chain_in_use(op->chain), "a chain taken away that is in use, or not there");
		c->there = false;
		VEC_RELEASE(&c->v);
		return;
	case NET_POLICY_CALL:
		k_check(k_chains[op->to].there, "a chain called that is not there");
		break;
	case NET_POLICY_ACCEPT:
		k_check((!op->peer || k_sets[op->peer].there) && (!op->set || k_sets[op->set].there),
			"a rule with a set that is not there");
		break;
	default:
		break;
	}
	k_check(c->there, "a rule in a chain that is not there");
	VEC_PUSH(&c->v, *op);
}

static void k_do(const policy_ops *ops)
{
	k_ops += ops->n;
	for (size_t i = 0; i < ops->n; i++) {
		const struct net_policy_op *op = &ops->v[i];

		BUG_ON(op->set >= K_MAX || op->chain >= K_MAX || op->peer >= K_MAX);
		if (op->verb <= NET_POLICY_DEL)
			k_do_set(op);
		else if (op->verb >= NET_POLICY_GUARD)
			k_do_guard(op);
		else
			k_do_chain(op);
	}
}

struct packet {
	struct net_addr from, to;
	uint8_t protocol;
	uint16_t port;
};

static bool k_match(uint32_t id, const struct net_addr *a, const struct packet *p)
{
	const struct k_set *s = &k_sets[id];

	if (!id)
		return true;
	for (size_t i = 0; i < s->v.n; i++) {
		const struct net_policy_elem *e = &s->v.v[i];
		bool port = e->protocol == p->protocol && e->port <= p->port &&
			    p->port <= (s->kind == NET_SET_PORT ? e->last_port : e->port);

		if (s->kind == NET_SET_PORT && port)
			return true;
		if (s->kind == NET_SET_ADDR && net_addr_equal(&e->addr, a))
			return true;
		if (s->kind == NET_SET_POD_PORT && net_addr_equal(&e->addr, &p->to) && port)
			return true;
		if (s->kind == NET_SET_BLOCK && e->addr.family == a->family &&
		    memcmp(e->addr.b, a->b, 16) <= 0 && memcmp(e->last.b, a->b, 16) >= 0)
			return true;
	}
	return false;
}

enum k_verdict { K_ON, K_ACCEPT, K_DROP };

static enum k_verdict k_run(uint32_t chain, int dir, const struct packet *p)
{
	const struct k_chain *c = &k_chains[chain];
	enum k_verdict v;

	for (size_t i = 0; i < c->v.n; i++) {
		const struct net_policy_op *op = &c->v.v[i];

		if (op->verb == NET_POLICY_DROP)
			return K_DROP;
		if (op->verb == NET_POLICY_ACCEPT && k_match(op->peer, dir == NET_IN ? &p->from : &p->to, p) &&
		    k_match(op->set, &p->to, p))
			return K_ACCEPT;
		if (op->verb == NET_POLICY_CALL && (v = k_run(op->to, dir, p)) != K_ON)
			return v;
	}
	return K_ON;
}

static bool k_allows(const struct packet *p)
{
	if (net_addr_equal(&p->from, &p->to))
		return true;
	for (int dir = 0; dir < POL_DIRS; dir++) {
		ssize_t at = k_guard(dir == NET_IN ? &p->to : &p->from, dir);

		if (at >= 0 && (!k_guards.v[at].chain || k_run(k_guards.v[at].chain, dir, p) != K_ACCEPT))
			return false;
	}
	return true;
}

/* --- a cluster --- */

static struct policy_world *world;
static long generation;
static const char *const who[] = { "x/a", "x/b", "x/c", "y/a", "y/b", "y/c", "z/a", "z/b", "z/c", "e", "f" };
static bool v6; /* speak by the second addresses */

static struct net_addr address(const char *name)
{
	char text[64];
	struct net_addr a;

	if (!name[1])
		snprintf(text, sizeof(text), v6 ? "2001:db8::%d" : "192.0.2.%d", name[0]);
	else
		snprintf(text, sizeof(text), v6 ? "fd00::%d:%d" : "10.42.%d.%d", name[0] - 'w', name[2] - 'a' + 1);
	BUG_ON(!net_addr_parse(&a, text));
	return a;
}

/* JSON with ' for " */
static struct doc *json(const char *text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	char *copy = xstrdup(text);
	struct doc *d;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (doc_parse_json(&d, str_of(copy), NULL, &e) < 0) {
		printf("# %s: %s\n", err_msg(&e), copy);
		BUG_ON(true);
	}
	free(copy);
	return d;
}

static void put_ns(const char *name, const char *labels)
{
	char *text = xasprintf("{'metadata':{'name':'%s','labels':{%s}}}", name, labels);
	_cleanup_doc_ struct doc *d = json(text);

	policy_put_namespace(world, doc_root(d));
	free(text);
}

static void put_pod_full(const char *name, const char *labels, const char *spec, const char *phase)
{
	char *text = xasprintf("{'metadata':{'name':'%s','namespace':'%c','uid':'uid-%s','labels':{%s}},"
			       "'spec':{'nodeName':'n1',%s'containers':[{'ports':["
			       "{'name':'serve-80-tcp','containerPort':80,'protocol':'TCP'},"
			       "{'name':'serve-81-tcp','containerPort':81},"
			       "{'name':'serve-80-udp','containerPort':80,'protocol':'UDP'},"
			       "{'name':'serve-80-sctp','containerPort':80,'protocol':'SCTP'},"
			       "{'name':'web','containerPort':%d}]}]},"
			       "'status':{'phase':'%s','podIPs':[{'ip':'10.42.%d.%d'},{'ip':'fd00::%d:%d'}]}}",
			       name + 2, name[0], name, labels, spec, name[2] == 'a' ? 80 : 81, phase, name[0] - 'w',
			       name[2] - 'a' + 1, name[0] - 'w', name[2] - 'a' + 1);
	_cleanup_doc_ struct doc *d = json(text);

	policy_put_pod(world, doc_root(d));
	free(text);
}

static void put_pod(const char *name, const char *labels)
{
	put_pod_full(name, labels, "", "Running");
}

static void flush(void)
{
	policy_ops ops = VEC_INIT;

	policy_flush(world, &ops);
	k_do(&ops);
	VEC_RELEASE(&ops);
}

static void put_policy(const char *name, const char *spec)
{
	_cleanup_err_ struct err e = ERR_INIT;
	char *text = xasprintf("{'metadata':{'name':'%s','namespace':'%c','uid':'u','generation':%ld},'spec':%s}",
			       name + 2, name[0], ++generation, spec);
	_cleanup_doc_ struct doc *d = json(text);

	if (policy_put(world, doc_root(d), &e) < 0)
		printf("# policy %s: %s\n", name, err_msg(&e));
	free(text);
}

static void cluster_up(void)
{
	k_reset();
	world = policy_world_new("n1");
	for (char c = 'x'; c <= 'z'; c++) {
		char name[] = { c, '\0' }, labels[16];

		snprintf(labels, sizeof(labels), "'ns':'%c'", c);
		put_ns(name, labels);
	}
	for (size_t i = 0; i < 9; i++) {
		char labels[16];

		snprintf(labels, sizeof(labels), "'pod':'%c'", who[i][2]);
		put_pod(who[i], labels);
	}
}

/* --- cases --- */

/* what it does: "policy x/n SPEC", "delete x/n", "pod x/a LABELS", "ns x LABELS", "drop x/a", "host x/a LABELS",
 * "over x/a LABELS". open: who may speak to whom: all, then each "FROM>TO" (with * for any) closes, each "+FROM>TO"
 * opens, in order. */
struct step {
	const char *title;
	const char *what[5];
	int protocol, port;
	const char *open;
};

static void play(const char *what)
{
	char *copy = xstrdup(what), *save, *verb = strtok_r(copy, " ", &save), *name = strtok_r(NULL, " ", &save);
	const char *rest = save ? save : "";

	if (streq(verb, "policy"))
		put_policy(name, rest);
	else if (streq(verb, "delete"))
		policy_drop(world, (char[]){ name[0], '\0' }, name + 2);
	else if (streq(verb, "pod"))
		put_pod(name, rest);
	else if (streq(verb, "host"))
		put_pod_full(name, rest, "'hostNetwork':true,", "Running");
	else if (streq(verb, "over"))
		put_pod_full(name, rest, "", "Succeeded");
	else if (streq(verb, "drop"))
		policy_drop_pod(world, (char[]){ name[0], '\0' }, name + 2);
	else if (streq(verb, "ns"))
		put_ns(name, rest);
	else
		BUG_ON(true);
	free(copy);
}

static bool name_matches(struct str pattern, const char *name)
{
	if (str_eqc(pattern, "*"))
		return true;
	if (pattern.n == 3 && pattern.p[2] == '*')
		return name[1] && pattern.p[0] == name[0];
	if (pattern.n == 3 && pattern.p[0] == '*')
		return name[1] && pattern.p[2] == name[2];
	return str_eqc(pattern, name);
}

static bool expected(const char *rules, const char *from, const char *to)
{
	struct str rest = str_of(rules);
	bool open = true;

	while (rest.p && rest.n) {
		struct str rule = str_cut(&rest, ' '), a;
		bool opens = rule.n && rule.p[0] == '+';

		if (opens)
			rule = str_sub(rule, 1, rule.n);
		a = str_cut(&rule, '>');
		if (name_matches(a, from) && name_matches(rule, to))
			open = opens;
	}
	return open || streq(from, to);
}

static bool table_is(const struct step *s)
{
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(who); i++)
		for (size_t k = 0; k < ARRAY_SIZE(who); k++) {
			struct packet p = { address(who[i]), address(who[k]),
					    (uint8_t)(s->protocol ? s->protocol : IPPROTO_TCP),
					    (uint16_t)(s->port ? s->port : 80) };
			bool want = expected(s->open, who[i], who[k]), got = k_allows(&p);

			if (who[i][1] == '\0' && who[k][1] == '\0')
				continue;
			if (want != got)
				printf("# %s > %s is %s\n", who[i], who[k], got ? "open" : "closed");
			good &= want == got;
		}
	return good;
}

#define DENY_IN "{'podSelector':{},'policyTypes':['Ingress']}"
#define DENY_OUT "{'podSelector':{},'policyTypes':['Egress']}"
#define DENY_ALL "{'podSelector':{},'policyTypes':['Ingress','Egress']}"
#define POD_A "'podSelector':{'matchLabels':{'pod':'a'}}"
#define IN(rules) "{" POD_A ",'ingress':[" rules "]}"
#define OUT(rules) "{" POD_A ",'policyTypes':['Egress'],'egress':[" rules "]}"
#define NS_Y "'namespaceSelector':{'matchLabels':{'ns':'y'}}"
#define POD(p) "'podSelector':{'matchLabels':{'pod':'" p "'}}"

static const struct step steps[] = {
	{ "no policy, all is open", { NULL }, 0, 0, "" },
	{ "default deny, in", { "policy x/p " DENY_IN }, 0, 0, "*>x/*" },
	{ "default deny, in: of all protocols", { "policy x/p " DENY_IN }, IPPROTO_ICMP, 0, "*>x/*" },
	{ "default deny, out", { "policy x/p " DENY_OUT }, 0, 0, "x/*>*" },
	{ "default deny, both", { "policy x/p " DENY_ALL }, 0, 0, "*>x/* x/*>*" },
	{ "without policyTypes: in only", { "policy x/p {'podSelector':{}}" }, 0, 0, "*>x/*" },
	{ "without policyTypes but with egress: both",
	  { "policy x/p {'podSelector':{},'egress':[{}]}" }, 0, 0, "*>x/*" },
	{ "an empty egress section alone isolates nothing going out",
	  { "policy x/p {'podSelector':{},'ingress':[{}],'egress':[]}" }, 0, 0, "" },
	{ "policyTypes Egress leaves what comes in alone, rules or not",
	  { "policy x/p {'podSelector':{},'policyTypes':['Egress'],'ingress':[],'egress':[{}]}" }, 0, 0, "" },
	{ "deny and allow all: all", { "policy x/p " DENY_IN, "policy x/q {'podSelector':{},'ingress':[{}]}" }, 0, 0, "" },
	{ "an empty list of peers is everybody", { "policy x/p {'podSelector':{},'ingress':[{'from':[]}]}" }, 0, 0, "" },
	{ "from pods of the same namespace", { "policy x/p " IN("{'from':[{" POD("b") "}]}") }, 0, 0,
	  "*>x/a +x/b>x/a" },
	{ "from all pods of the same namespace", { "policy x/p " IN("{'from':[{'podSelector':{}}]}") }, 0, 0,
	  "*>x/a +x/*>x/a" },
	{ "from a namespace", { "policy x/p " IN("{'from':[{" NS_Y "}]}") }, 0, 0, "*>x/a +y/*>x/a" },
	{ "from all namespaces, but not from outside", { "policy x/p " IN("{'from':[{'namespaceSelector':{}}]}") }, 0, 0,
	  "*>x/a +x/*>x/a +y/*>x/a +z/*>x/a" },
	{ "from pods of a namespace: both in one peer", { "policy x/p " IN("{'from':[{" NS_Y "," POD("b") "}]}") }, 0, 0,
	  "*>x/a +y/b>x/a" },
	{ "from pods or a namespace: two peers", { "policy x/p " IN("{'from':[{" NS_Y "},{" POD("b") "}]}") }, 0, 0,
	  "*>x/a +y/*>x/a +x/b>x/a" },
	{ "by expressions: In, NotIn, Exists",
	  { "policy x/p " IN("{'from':[{'namespaceSelector':{'matchExpressions':[{'key':'ns','operator':'NotIn',"
			     "'values':['x']}]},'podSelector':{'matchExpressions':[{'key':'pod','operator':'In',"
			     "'values':['a','b']}]}}]}") }, 0, 0,
	  "*>x/a +y/a>x/a +y/b>x/a +z/a>x/a +z/b>x/a" },
	{ "a port that is allowed", { "policy x/p " IN("{'ports':[{'port':80}]}") }, 0, 80, "" },
	{ "a port that is not", { "policy x/p " IN("{'ports':[{'port':80}]}") }, 0, 81, "*>x/a" },
	{ "the same port of another protocol", { "policy x/p " IN("{'ports':[{'port':80}]}") }, IPPROTO_UDP, 80,
	  "*>x/a" },
	{ "SCTP", { "policy x/p " IN("{'ports':[{'port':80,'protocol':'SCTP'}]}") }, IPPROTO_SCTP, 80, "" },
	{ "SCTP only: not TCP", { "policy x/p " IN("{'ports':[{'port':80,'protocol':'SCTP'}]}") }, 0, 80, "*>x/a" },
	{ "a protocol without a port", { "policy x/p " IN("{'ports':[{'protocol':'UDP'}]}") }, IPPROTO_UDP, 4711, "" },
	{ "several ports", { "policy x/p " IN("{'ports':[{'port':79},{'port':81},{'port':80,'protocol':'UDP'}]}") },
	  0, 81, "" },
	{ "several ports, none of which it is",
	  { "policy x/p " IN("{'ports':[{'port':79},{'port':81},{'port':80,'protocol':'UDP'}]}") }, 0, 80, "*>x/a" },
	{ "a range: its first", { "policy x/p " IN("{'ports':[{'port':80,'endPort':90}]}") }, 0, 80, "" },
	{ "a range: its last", { "policy x/p " IN("{'ports':[{'port':80,'endPort':90}]}") }, 0, 90, "" },
	{ "a range: behind it", { "policy x/p " IN("{'ports':[{'port':80,'endPort':90}]}") }, 0, 91, "*>x/a" },
	{ "ranges that overlap and touch",
	  { "policy x/p " IN("{'ports':[{'port':80,'endPort':90},{'port':85,'endPort':95},{'port':96},{'port':82}]}") },
	  0, 96, "" },
	{ "a port by name", { "policy x/p " IN("{'ports':[{'port':'serve-81-tcp'}]}") }, 0, 81, "" },
	{ "another port by name", { "policy x/p " IN("{'ports':[{'port':'serve-81-tcp'}]}") }, 0, 80, "*>x/a" },
	{ "a name of another protocol", { "policy x/p " IN("{'ports':[{'port':'serve-80-udp'}]}") }, 0, 80, "*>x/a" },
	{ "a name that each pod has at another port",
	  { "policy x/p {'podSelector':{},'ingress':[{'ports':[{'port':'web'}]}]}" }, 0, 81, "*>x/a" },
	{ "names and numbers and peers together",
	  { "policy x/p {'podSelector':{},'ingress':[{'from':[{" NS_Y "}],'ports':[{'port':'web'},{'port':443}]}]}" },
	  0, 80, "*>x/* +y/*>x/a" },
	{ "out: pods of a namespace", { "policy x/p " OUT("{'to':[{" NS_Y "}]}") }, 0, 0, "x/a>* +x/a>y/*" },
	{ "out: a port by name, to anybody: any pod that has it",
	  { "policy x/p " OUT("{'ports':[{'port':'web'}]}") }, 0, 81, "x/a>* +x/a>*/b +x/a>*/c" },
	{ "out: a port by name, of the peers",
	  { "policy x/p " OUT("{'to':[{" NS_Y "}],'ports':[{'port':'web'}]}") }, 0, 81, "x/a>* +x/a>y/b +x/a>y/c" },
	{ "out: a port by name at a block of addresses: none",
	  { "policy x/p " OUT("{'to':[{'ipBlock':{'cidr':'0.0.0.0/0'}}],'ports':[{'port':'web'}]}") }, 0, 81, "x/a>*" },
	{ "out: DNS only", { "policy x/p " OUT("{'ports':[{'port':53,'protocol':'UDP'},{'port':53}]}") },
	  IPPROTO_UDP, 53, "" },
	{ "a block", { "policy x/p " IN("{'from':[{'ipBlock':{'cidr':'192.0.2.0/24'}}]}") }, 0, 0,
	  "*>x/a +e>x/a +f>x/a" },
	{ "a block without one address (e is .101)",
	  { "policy x/p " IN("{'from':[{'ipBlock':{'cidr':'192.0.2.0/24','except':['192.0.2.101/32']}}]}") }, 0, 0,
	  "*>x/a +f>x/a" },
	{ "the whole world without the pods",
	  { "policy x/p " OUT("{'to':[{'ipBlock':{'cidr':'0.0.0.0/0','except':['10.0.0.0/8','127.0.0.0/8']}}]}") }, 0, 0,
	  "x/a>* +x/a>e +x/a>f" },
	{ "a block with pods in it", { "policy x/p " IN("{'from':[{'ipBlock':{'cidr':'10.42.2.0/24'}}]}") }, 0, 0,
	  "*>x/a +y/*>x/a" },
	{ "what one rule leaves out another one lets in",
	  { "policy x/p " IN("{'from':[{'ipBlock':{'cidr':'10.42.0.0/16','except':['10.42.2.0/24']}},"
			     "{'ipBlock':{'cidr':'10.42.2.2/32'}}]}") }, 0, 0,
	  "*>x/a +x/*>x/a +z/*>x/a +y/b>x/a" },
	{ "a block of the other family", { "policy x/p " IN("{'from':[{'ipBlock':{'cidr':'::/0'}}]}") }, 0, 0, "*>x/a" },
	{ "policies of two namespaces: both must allow", /* out of x, in to y */
	  { "policy x/p " DENY_OUT, "policy y/p " DENY_IN, "policy x/q " OUT("{'to':[{" NS_Y "}]}") }, 0, 0,
	  "x/*>* *>y/*" },
	{ "... and do", { "policy x/p " DENY_OUT, "policy y/p " DENY_IN, "policy x/q " OUT("{'to':[{" NS_Y "}]}"),
	  "policy y/q " IN("{'from':[{'namespaceSelector':{'matchLabels':{'ns':'x'}}}]}") }, 0, 0,
	  "x/*>* *>y/* +x/a>y/a" },
	{ "policies add up", { "policy x/p " IN("{'from':[{" POD("b") "}]}"), "policy x/q " IN("{'from':[{" NS_Y "}]}") },
	  0, 0, "*>x/a +x/b>x/a +y/*>x/a" },
	{ "a policy that is changed", { "policy x/p " IN("{'from':[{" POD("b") "}]}"), "policy x/p " IN("{'from':[{" POD("c") "}]}") },
	  0, 0, "*>x/a +x/c>x/a" },
	{ "a policy that is for other pods now", { "policy x/p " DENY_IN, "policy x/p " IN("") }, 0, 0, "*>x/a" },
	{ "a policy that goes the other way now", { "policy x/p " DENY_IN, "policy x/p " DENY_OUT }, 0, 0, "x/*>*" },
	{ "a policy that is deleted", { "policy x/p " DENY_ALL, "delete x/p" }, 0, 0, "" },
	{ "one of two is deleted", { "policy x/p " DENY_ALL, "policy x/q " IN("{}"), "delete x/p" }, 0, 0, "" },
	{ "a pod's labels change: it is a peer now", { "policy x/p " IN("{'from':[{" POD("q") "}]}"), "pod x/b 'pod':'q'" }, 0, 0,
	  "*>x/a +x/b>x/a" },
	{ "... or no more", { "policy x/p " IN("{'from':[{" POD("b") "}]}"), "pod x/b 'pod':'q'" }, 0, 0, "*>x/a" },
	{ "a pod's labels change: the policy is for it now", { "policy x/p " IN(""), "pod x/b 'pod':'a'" }, 0, 0,
	  "*>x/a *>x/b" },
	{ "... or no more", { "policy x/p " IN(""), "pod x/a 'pod':'q'" }, 0, 0, "" },
	{ "a namespace's labels change: a peer now", { "policy x/p " IN("{'from':[{" NS_Y "}]}"), "ns z 'ns':'y'" }, 0, 0,
	  "*>x/a +y/*>x/a +z/*>x/a" },
	{ "... or no more", { "policy x/p " IN("{'from':[{" NS_Y "}]}"), "ns y 'ns':'q'" }, 0, 0, "*>x/a" },
	{ "a pod that is gone is nobody's peer", { "policy x/p " IN("{'from':[{" POD("b") "}]}"), "drop x/b" }, 0, 0,
	  "*>x/a" },
	{ "nor is one that is over", { "policy x/p " IN("{'from':[{" POD("b") "}]}"), "over x/b 'pod':'b'" }, 0, 0,
	  "*>x/a" },
	{ "nor one with the node's network, and no policy is for it",
	  { "policy x/p " DENY_IN, "host x/b 'pod':'b'", "policy x/q " IN("{'from':[{" POD("b") "}]}") }, 0, 0,
	  "*>x/a *>x/c" },
	{ "what can't be carried out allows nothing",
	  { "policy x/p " IN("{},{'from':[{'ipBlock':{'cidr':'nonsense'}}]}") }, 0, 0, "*>x/a" },
};

static void test_tables(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *s = &steps[i];
		unsigned faults = k_faults;
		bool good;

		cluster_up();
		flush();
		for (size_t k = 0; k < ARRAY_SIZE(s->what) && s->what[k]; k++) {
			play(s->what[k]);
			flush();
		}
		good = table_is(s);
		/* in one go; and all anew, as after a restart */
		world = policy_world_free(world);
		cluster_up();
		for (size_t k = 0; k < ARRAY_SIZE(s->what) && s->what[k]; k++)
			play(s->what[k]);
		flush();
		good &= table_is(s);
		k_reset();
		policy_forget(world);
		flush();
		good &= table_is(s) && faults == k_faults;
		world = policy_world_free(world);
		ok(good, s->title);
	}
}

static bool kernel_is_empty(void)
{
	for (size_t i = 0; i < K_MAX; i++)
		if (k_sets[i].there || k_chains[i].there)
			return false;
	return k_guards.n == 0;
}

static void test_second_family(void)
{
	struct step s = { .port = 81, .open = "*>x/a +y/*>x/a" };

	cluster_up();
	put_policy("x/p", IN("{'from':[{" NS_Y "}],'ports':[{'port':'serve-81-tcp'}]}"));
	flush();
	v6 = true;
	ok(table_is(&s), "the second family: pods and ports by name");
	put_policy("x/p", OUT("{'to':[{'ipBlock':{'cidr':'fd00::/16','except':['fd00::2:0/112']}}]}"));
	flush();
	s.open = "x/a>* +x/a>x/* +x/a>z/*";
	ok(table_is(&s), "the second family: a block");
	v6 = false;
	policy_drop(world, "x", "p");
	flush();
	ok(kernel_is_empty(), "nothing is left of a policy that is gone");
	world = policy_world_free(world);
}

static unsigned roll(size_t n)
{
	static unsigned seed = 4711;

	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % (unsigned)n;
}

/* Steps in any order, many times over; then the same as made anew, and nothing left in the end. */
static void test_random(void)
{
	static const char *const specs[] = { DENY_IN, DENY_OUT, DENY_ALL, IN("{'from':[{" POD("b") "}]}"),
					     IN("{'from':[{" NS_Y "," POD("b") "}],'ports':[{'port':'web'}]}"),
					     OUT("{'ports':[{'port':'web'},{'port':80}]}"),
					     OUT("{'to':[{'namespaceSelector':{}},{'ipBlock':{'cidr':'192.0.2.0/24'}}]}") };
	static const char *const labels[] = { "'pod':'a'", "'pod':'b'", "'pod':'c'", "" };
	static const char *const ns_labels[] = { "'ns':'x'", "'ns':'y'", "" };
	unsigned faults = k_faults, differ = 0;

	cluster_up();
	for (int round = 0; round < 3000; round++) {
		const char *pod = who[roll(9)];
		char ns[] = { (char)('x' + roll(3)), '\0' }, policy[] = { ns[0], '/', (char)('p' + roll(4)), '\0' };

		switch (roll(7)) {
		case 0:
			put_pod(pod, labels[roll(ARRAY_SIZE(labels))]);
			break;
		case 1:
			policy_drop_pod(world, (char[]){ pod[0], '\0' }, pod + 2);
			break;
		case 2:
			put_ns(ns, ns_labels[roll(ARRAY_SIZE(ns_labels))]);
			break;
		case 3:
			policy_drop_namespace(world, ns);
			break;
		case 4:
			policy_drop(world, ns, policy + 2);
			break;
		case 5:
			put_pod_full(pod, labels[roll(ARRAY_SIZE(labels))], roll(2) ? "'hostNetwork':true," : "",
				     roll(3) ? "Running" : "Failed");
			break;
		default:
			put_policy(policy, specs[roll(ARRAY_SIZE(specs))]);
		}
		if (roll(3) == 0)
			flush();
		if (round % 100 == 0) {
			struct packet p[ARRAY_SIZE(who)][ARRAY_SIZE(who)];
			bool was[ARRAY_SIZE(who)][ARRAY_SIZE(who)];

			flush();
			for (size_t i = 0; i < ARRAY_SIZE(who); i++)
				for (size_t k = 0; k < ARRAY_SIZE(who); k++) {
					p[i][k] = (struct packet){ address(who[i]), address(who[k]), IPPROTO_TCP, 81 };
					was[i][k] = k_allows(&p[i][k]);
				}
			k_reset();
			policy_forget(world);
			flush();
			for (size_t i = 0; i < ARRAY_SIZE(who); i++)
				for (size_t k = 0; k < ARRAY_SIZE(who); k++)
					differ += was[i][k] != k_allows(&p[i][k]);
		}
	}
	is_int(differ, 0, "3000 steps at random: changed bit by bit is the same as made anew");
	is_int(k_faults - faults, 0, "... and in an order that a kernel takes");
	for (size_t i = 0; i < 9; i++)
		policy_drop_pod(world, (char[]){ who[i][0], '\0' }, who[i] + 2);
	for (char c = 'x'; c <= 'z'; c++)
		for (char n = 'p'; n <= 's'; n++)
			policy_drop(world, (char[]){ c, '\0' }, (char[]){ n, '\0' });
	flush();
	ok(kernel_is_empty(), "... and nothing is left");
	world = policy_world_free(world);
}

/* --- what a change costs --- */

static size_t cost_of(void)
{
	size_t before = k_ops;

	flush();
	return k_ops - before;
}

static void test_cost(void)
{
	size_t few, many;

	cluster_up();
	put_policy("x/p", IN("{'from':[{" NS_Y "}]}"));
	flush();
	put_pod("y/b", "'pod':'q','new':''");
	is_int((long long)cost_of(), 0, "a label that nobody asks for costs nothing");
	policy_drop_pod(world, "y", "b");
	few = cost_of();
	for (int i = 0; i < 200; i++) {
		char name[16], spec[256];

		snprintf(name, sizeof(name), "z/p%d", i);
		snprintf(spec, sizeof(spec), "{'podSelector':{'matchLabels':{'n':'%d'}},'ingress':[{'from':[{"
			 "'podSelector':{'matchLabels':{'n':'%d'}}}]}]}", i, i + 1);
		put_policy(name, spec);
	}
	flush();
	put_pod("y/b", "'pod':'b'");
	many = cost_of();
	is_int((long long)few, 2, "a pod that goes: its addresses leave a set");
	is_int((long long)many, 2, "a pod that comes, among 200 other policies: as much");
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x/q%d", i);
		put_policy(name, IN("{'from':[{" NS_Y "}]}"));
	}
	flush();
	policy_drop_pod(world, "y", "b");
	is_int((long long)cost_of(), 2, "100 policies that ask for the same pods share a set");
	put_policy("x/p", DENY_IN);
	put_policy("x/p", IN("{'from':[{" NS_Y "}]}"));
	ok(cost_of() <= 3, "back and forth: the policy's own chain is written again, and nothing else");
	world = policy_world_free(world);
}

/* --- addresses that come before anything else --- */

static struct net_addr attached_addr[2];
static size_t n_attached;

static size_t attached(void *arg, const char *id, struct net_addr out[2])
{
	(void)arg;
	if (!streq(id, "uid-x/a"))
		return 0;
	memcpy(out, attached_addr, n_attached * sizeof(*out));
	return n_attached;
}

static bool speaks(const char *from, const char *to)
{
	return k_allows(&(struct packet){ address(from), address(to), IPPROTO_TCP, 80 });
}

static void test_attach(void)
{
	k_reset();
	world = policy_world_new("n1");
	world->addresses = attached;
	put_ns("x", "'ns':'x'");
	put_policy("x/p", DENY_IN);
	put_pod("x/a", "'pod':'a'");
	flush();
	ok(k_guards.n == 0, "a pod without an address, whatever its status says");
	attached_addr[0] = address("x/a");
	n_attached = 1;
	policy_attached(world, "uid-x/a");
	flush();
	ok(!speaks("x/b", "x/a") && speaks("x/a", "x/b"), "it is guarded as soon as it is attached");
	policy_drop_pod(world, "x", "a");
	flush();
	ok(!speaks("x/b", "x/a") && !speaks("x/a", "x/b"), "gone, but still attached: shut");
	put_pod("x/a", "'pod':'a'");
	flush();
	ok(!speaks("x/b", "x/a") && speaks("x/a", "x/b"), "back again");
	policy_drop_pod(world, "x", "a");
	flush();
	n_attached = 0;
	policy_detached(world, "uid-x/a");
	flush();
	ok(k_guards.n == 0, "detached: nothing is left");
	n_attached = 1;
	policy_attached(world, "uid-x/a");
	flush();
	ok(!speaks("x/b", "x/a") && !speaks("x/a", "x/b"), "attached, but nobody has heard of the pod: shut");
	policy_drop(world, "x", "p");
	put_pod("x/a", "'pod':'a'");
	flush();
	ok(speaks("x/b", "x/a") && speaks("x/a", "x/b"), "until somebody has: no policy is for it");
	world = policy_world_free(world);
}

int main(void)
{
	test_tables();
	test_second_family();
	test_random();
	test_cost();
	test_attach();
	k_reset();
	is_int(k_faults, 0, "a kernel would have refused nothing");
	return done_testing();
}
