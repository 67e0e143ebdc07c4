/*
 * What containers do as time passes: they start, become ready, end, are started
 * again after a back-off, stop when they are told to. All of it follows from the
 * pod, its annotations and the time, so a pod that nobody looked at for an hour
 * (its node was cut off) is brought up to date by the same code.
 */
#include <stdio.h>

#include "sim/internal.h"

#define BACKOFF_FIRST_MS 10000 /* the kubelet's: nothing, then this, doubling */
#define BACKOFF_MOST_MS 300000
#define EXIT_TERM 143 /* ended by the signal that told it to stop */
#define EXIT_KILL 137 /* had to be killed */

static const struct node *pod_spec(const struct sim_pod *p)
{
	return node_get(obj_node(p->obj), F_spec);
}

static const struct node *ctr_spec(const struct sim_pod *p, size_t i)
{
	return node_at(node_get(pod_spec(p), F_containers), i);
}

/* --- what the annotations say --- */

static const char *note(const struct sim_pod *p, size_t i, const char *what)
{
	const struct node *notes = node_get(meta_of(obj_node(p->obj)), F_annotations);
	char key[200];
	const char *text;

	if (!node_count(notes))
		return NULL;
	snprintf(key, sizeof(key), SIM_ANNOTATION "%s.%s", what, node_gets(ctr_spec(p, i), F_name));
	text = node_cstr(node_getc(notes, key));
	if (text)
		return text;
	snprintf(key, sizeof(key), SIM_ANNOTATION "%s", what);
	return node_cstr(node_getc(notes, key));
}

static int64_t note_ms(const struct sim_pod *p, size_t i, const char *what, int64_t otherwise)
{
	const char *text = note(p, i, what);
	int64_t ns;

	if (text && streq(text, "never"))
		return SIM_FOR_EVER;
	if (text && time_parse_go_duration(str_of(text), &ns) && ns >= 0)
		return ns / 1000000;
	return otherwise == SIM_NEVER ? SIM_FOR_EVER : otherwise;
}

static int64_t later(int64_t from, int64_t by)
{
	return by == SIM_FOR_EVER ? by : from + by;
}

static const char *exit_note(const struct sim_pod *p, size_t i)
{
	const char *index = meta_annotation(obj_node(p->obj), "batch.kubernetes.io/job-completion-index"), *text = NULL;
	char what[64];

	if (index) {
		snprintf(what, sizeof(what), "exit-code-%.20s", index);
		text = note(p, i, what);
	}
	return text ? text : note(p, i, "exit-code");
}

/* Of its present run: the list's last is for all that follow. */
static int exit_code(const struct sim_pod *p, size_t i)
{
	const char *text = exit_note(p, i);
	struct str rest = str_of(text);
	int64_t code = 0;

	for (int run = 0; rest.p && run < p->ctrs[i].runs; run++) {
		struct str part = str_trim(str_cut(&rest, ','));

		if (!str_to_i64(part, &code) || code < 0 || code > 255)
			code = 0;
	}
	return (int)code;
}

static int64_t ends_ms(const struct sim_pod *p, size_t i)
{
	return later(p->ctrs[i].started_ms, note_ms(p, i, "run-for", exit_note(p, i) ? 0 : SIM_NEVER));
}

/* --- containers --- */

/* The wall clock's time of a moment that the monotonic one has passed. */
static int64_t wall_s_of(int64_t ms, int64_t now)
{
	return time_wall_s() - (now - ms) / SEC_MS;
}

static bool will_restart(const struct sim_pod *p, size_t i, int code)
{
	const char *own = node_gets(ctr_spec(p, i), F_restartPolicy), *policy = node_gets(pod_spec(p), F_restartPolicy);

	if (*own)
		policy = own;
	return !streq(policy, "Never") && (!streq(policy, "OnFailure") || code != 0);
}

static void ctr_end(struct sim_ctr *c, int code, int64_t at, int64_t now)
{
	c->last = (struct sim_run){ code, c->started_s, wall_s_of(at, now) };
	c->state = SIM_DOWN;
	c->ready = false;
}

static void ctr_end_by_itself(struct sim_pod *p, size_t i, int64_t at, int64_t now)
{
	struct sim_ctr *c = &p->ctrs[i];
	int code = exit_code(p, i);

	ctr_end(c, code, at, now);
	if (!will_restart(p, i, code))
		return;
	if (at - c->started_ms >= 2 * BACKOFF_MOST_MS)
		c->backoff_ms = 0;
	c->state = SIM_WAIT;
	c->due_ms = at + c->backoff_ms;
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_FIRST_MS;
	if (c->backoff_ms > BACKOFF_MOST_MS)
		c->backoff_ms = BACKOFF_MOST_MS;
}

static void ctr_start(struct sim_ctr *c, int64_t at, int64_t now)
{
	c->state = SIM_UP;
	c->runs++;
	c->started_ms = at;
	c->started_s = wall_s_of(at, now);
}

static bool ctr_step(struct sim_pod *p, size_t i, int64_t now, int64_t *due)
{
	struct sim_ctr *c = &p->ctrs[i];
	int64_t ready_at;
	bool ready;

	*due = SIM_FOR_EVER;
	switch (c->state) {
	case SIM_WAIT:
		*due = c->runs ? c->due_ms : later(p->begun_ms, note_ms(p, i, "start-after", p->actor.sim->cfg.start_ms));
		if (*due > now)
			return false;
		ctr_start(c, *due, now);
		return true;
	case SIM_UP:
		*due = ends_ms(p, i);
		if (*due <= now) {
			ctr_end_by_itself(p, i, *due, now);
			return true;
		}
		ready_at = later(c->started_ms, note_ms(p, i, "ready-after", p->actor.sim->cfg.ready_ms));
		ready = ready_at <= now;
		if (!ready && ready_at < *due)
			*due = ready_at;
		if (ready == c->ready)
			return false;
		c->ready = ready;
		return true;
	case SIM_DOWN:
		break;
	}
	return false;
}

static bool all_down(const struct sim_pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i].state != SIM_DOWN)
			return false;
	return true;
}

/* Each to where it stands now. A crash loop takes a step each five minutes in the end, so this does not run for long. */
static bool run(struct sim_pod *p, int64_t now, int64_t *next)
{
	bool changed = false;
	int64_t due;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		while (ctr_step(p, i, now, &due))
			changed = true;
		if (due < *next)
			*next = due;
	}
	p->over = all_down(p);
	return changed;
}

/* --- its end from outside --- */

static int64_t stop_takes_ms(const struct sim_pod *p, size_t i)
{
	return p->ctrs[i].state == SIM_UP ? note_ms(p, i, "stop-after", p->actor.sim->cfg.stop_ms) : 0;
}

static int64_t grace_ms(const struct sim_pod *p)
{
	return node_int(node_get(meta_of(obj_node(p->obj)), F_deletionGracePeriodSeconds), 0) * SEC_MS;
}

static int64_t stops_ms(const struct sim_pod *p, int64_t now)
{
	int64_t grace = grace_ms(p), most = 0;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		int64_t ms = stop_takes_ms(p, i);

		most = ms > most ? ms : most;
	}
	return now + (most < grace ? most : grace);
}

static void stop_all(struct sim_pod *p, int64_t grace, int64_t now)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i].state == SIM_UP)
			ctr_end(&p->ctrs[i], stop_takes_ms(p, i) > grace ? EXIT_KILL : EXIT_TERM, now, now);
	p->over = true;
}

static bool stopping(struct sim_pod *p, int64_t now, int64_t *next)
{
	int64_t at = stops_ms(p, now);

	if (!p->stop_ms || at < p->stop_ms)
		p->stop_ms = at;
	if (now < p->stop_ms) {
		*next = p->stop_ms;
		return false;
	}
	stop_all(p, grace_ms(p), now);
	return true;
}

static bool past_deadline(struct sim_pod *p, int64_t now, int64_t *next)
{
	int64_t s = node_int(node_get(pod_spec(p), F_activeDeadlineSeconds), 0), at = p->begun_ms + s * SEC_MS;

	if (s <= 0)
		return false;
	if (now < at) {
		*next = at < *next ? at : *next;
		return false;
	}
	p->late = true;
	stop_all(p, node_int(node_get(pod_spec(p), F_terminationGracePeriodSeconds), 0) * SEC_MS, now);
	return true;
}

bool sim_life(struct sim_pod *p, int64_t now, int64_t *next)
{
	if (p->over)
		return false;
	if (meta_is_deleting(obj_node(p->obj)))
		return stopping(p, now, next);
	return past_deadline(p, now, next) || run(p, now, next);
}

/* --- a pod that was played before --- */

static int64_t wall_of(const struct node *n)
{
	int64_t ns;

	return time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static void recall_ctr(struct sim_pod *p, size_t i, const struct node *status, int64_t now)
{
	const struct node *state = node_get(status, F_state), *running = node_get(state, F_running),
			  *ended = node_get(state, F_terminated);
	struct sim_ctr *c = &p->ctrs[i];

	c->runs = (int)node_int(node_get(status, F_restartCount), 0);
	c->due_ms = now;
	if (running) {
		c->state = SIM_UP;
		c->runs++;
		c->started_s = wall_of(node_get(running, F_startedAt));
		c->started_ms = now - (time_wall_s() - c->started_s) * SEC_MS;
		c->ready = node_bool(node_get(status, F_ready), false);
	} else if (ended) {
		c->runs++;
		c->last = (struct sim_run){ (int)node_int(node_get(ended, F_exitCode), 0),
					    wall_of(node_get(ended, F_startedAt)), wall_of(node_get(ended, F_finishedAt)) };
		c->state = will_restart(p, i, c->last.exit_code) ? SIM_WAIT : SIM_DOWN;
	}
}

static void recall_ip(struct sim_pod *p, const struct node *status)
{
	struct sim *s = p->actor.sim;
	unsigned a, b, c;

	if (node_bool(node_get(pod_spec(p), F_hostNetwork), false) ||
	    sscanf(node_gets(status, F_podIP), "10.%3u.%3u.%3u", &a, &b, &c) != 3)
		return;
	p->ip = (a & 127) << 16 | (b & 255) << 8 | (c & 255);
	if (p->ip > s->next_ip)
		s->next_ip = p->ip;
}

bool sim_life_begin(struct sim_pod *p)
{
	const struct node *status = node_get(obj_node(p->obj), F_status);
	const char *phase = node_gets(status, F_phase);
	int64_t now = sim_now(p->actor.sim), started = wall_of(node_get(status, F_startTime));

	p->over = streq(phase, "Succeeded") || streq(phase, "Failed");
	if (!started)
		return p->over;
	p->begun_s = started;
	p->begun_ms = now - (time_wall_s() - started) * SEC_MS;
	recall_ip(p, status);
	NODE_FOREACH(s, node_get(status, F_containerStatuses))
		for (size_t i = 0; i < p->n_ctrs; i++)
			if (streq(node_gets(ctr_spec(p, i), F_name), node_gets(s, F_name)))
				recall_ctr(p, i, s, now);
	return true;
}
