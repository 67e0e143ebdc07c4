/*
 * A cluster for unit tests (ctl-cluster.h).
 */
#include "ctl-cluster.h"

#include <stdio.h>

#include "base/time.h"
#include "memory-store.h"

static void cluster_ready(void *arg)
{
	*(bool *)arg = true;
}

void cluster_up(struct cluster *c)
{
	static const char *const groups[] = { "system:masters", NULL };
	static const char *const issuers[] = { "https://kubernetes.default.svc.cluster.local", NULL };
	struct api_config ac = { .version = "v1.36.2+kinglet1", .server_address = "192.0.2.1:6443",
				 .service_cidr = "10.43.0.0/16", .sa_issuers = issuers };
	struct err e = ERR_INIT;
	bool is_ready = false;

	*c = (struct cluster){ .loop = loop_new() };
	ac.loop = c->loop;
	ac.store = c->store = memory_store(c->loop, NULL);
	BUG_ON(api_new(&c->api, &ac, &e) < 0);
	api_start(c->api, cluster_ready, &is_ready);
	while (!is_ready)
		loop_turn(c->loop, 1000);
	c->client = client_new_local(c->loop, api_call_server(c->api, "system:test", groups), "system:test");
	c->ctl = ctl_new(&(struct ctl_config){ .client = c->client, .root_ca_pem = "PEM" });
}

void cluster_down(struct cluster *c)
{
	ctl_free(c->ctl);
	client_free(c->client);
	api_free(c->api);
	store_close(c->store);
	obj_trim(0);
	loop_free(c->loop);
}

static void cluster_answered(void *arg, struct obj *o, const struct err *err)
{
	struct cluster *c = arg;

	c->open--;
	c->failed += err != NULL;
	if (err)
		printf("# %s\n", err_msg(err));
	else if (o)
		snprintf(c->uid, sizeof(c->uid), "%s", o->uid);
}

static struct doc *cluster_doc(const char *json)
{
	struct err e = ERR_INIT;
	struct doc *d;

	BUG_ON(doc_parse_json(&d, str_of(json), NULL, &e) < 0);
	return d;
}

void cluster_create(struct cluster *c, const char *group, const char *plural, const char *ns, const char *json)
{
	c->open++;
	client_create(c->client, schema_res(group, plural), ns, cluster_doc(json), cluster_answered, c);
}

void cluster_patch(struct cluster *c, const char *group, const char *plural, const char *ns, const char *name,
		   const char *subresource, const char *json)
{
	c->open++;
	client_patch(c->client, schema_res(group, plural), ns, name, subresource, PATCH_MERGE, cluster_doc(json),
		     cluster_answered, c);
}

void cluster_delete(struct cluster *c, const char *group, const char *plural, const char *ns, const char *name,
		    const char *propagation)
{
	c->open++;
	client_delete_as(c->client, schema_res(group, plural), ns, name, NULL, propagation, cluster_answered, c);
}

void cluster_wait(struct cluster *c)
{
	while (c->open)
		loop_turn(c->loop, 1000);
}

bool cluster_until(struct cluster *c, bool (*f)(struct cluster *c, void *arg), void *arg)
{
	int64_t end = time_mono_ms() + 60000;

	while (!f(c, arg) && time_mono_ms() < end)
		loop_turn(c->loop, 100);
	return f(c, arg);
}
