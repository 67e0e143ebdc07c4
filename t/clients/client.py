#!/usr/bin/python3
"""What software written with the official Python client does with a cluster; TAP on stdout.

Run with KUBECONFIG set."""
import json
import sys
import threading
import time
import traceback

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

NS = "python"
checks = []


def check(title):
    def add(f):
        checks.append((title, f))
        return f
    return add


def eq(have, want):
    assert have == want, "have %r, want %r" % (have, want)


def refused(code, f, *args, **kw):
    try:
        f(*args, **kw)
    except ApiException as e:
        eq(e.status, code)
        return e
    raise AssertionError("was not refused with %d" % code)


def config_map(name, data=None, labels=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data or {"k": "v"})


def deployment(name, replicas=1):
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=replicas, selector={"matchLabels": {"app": name}},
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels={"app": name}),
                spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="localhost/demo:1")]))))


@check("versions, groups and resources are discovered")
def _():
    v = client.VersionApi().get_code()
    eq(v.major, "1")
    groups = {g.name for g in client.ApisApi().get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io", "apiextensions.k8s.io"} <= groups, groups
    names = {r.name for r in core.get_api_resources().resources}
    assert {"pods", "pods/exec", "services", "nodes"} <= names


@check("a namespace and an object in it: create, read, replace, conflict, delete")
def _():
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NS)))
    o = core.create_namespaced_config_map(NS, config_map("a"))
    assert o.metadata.uid and o.metadata.resource_version
    old = core.read_namespaced_config_map("a", NS)
    new = core.read_namespaced_config_map("a", NS)
    new.data["k"] = "w"
    eq(core.replace_namespaced_config_map("a", NS, new).data, {"k": "w"})
    old.data["k"] = "x"
    e = refused(409, core.replace_namespaced_config_map, "a", NS, old)
    assert "the object has been modified" in e.body
    refused(409, core.create_namespaced_config_map, NS, config_map("a"))
    core.delete_namespaced_config_map("a", NS)
    refused(404, core.read_namespaced_config_map, "a", NS)


@check("patches: strategic merge, merge, JSON")
def _():
    apps.create_namespaced_deployment(NS, deployment("d"))
    d = apps.patch_namespaced_deployment("d", NS, {"spec": {"template": {"spec": {"containers": [
        {"name": "c", "env": [{"name": "A", "value": "1"}]}]}}}})
    eq(d.spec.template.spec.containers[0].image, "localhost/demo:1")
    eq(d.metadata.generation, 2)
    d = apps.patch_namespaced_deployment("d", NS, [{"op": "replace", "path": "/spec/replicas", "value": 3}])
    eq(d.spec.replicas, 3)
    refused(422, apps.patch_namespaced_deployment, "d", NS, [{"op": "test", "path": "/spec/replicas", "value": 4}])
    refused(422, apps.patch_namespaced_deployment, "d", NS, {"spec": {"selector": {"matchLabels": {"app": "other"}}}})


@check("scale and status are apart")
def _():
    s = apps.read_namespaced_deployment_scale("d", NS)
    eq(s.spec.replicas, 3)
    eq(apps.patch_namespaced_deployment_scale("d", NS, {"spec": {"replicas": 2}}).spec.replicas, 2)
    g = apps.read_namespaced_deployment("d", NS).metadata.generation
    for _ in range(50):  # its controller writes the status too
        d = apps.read_namespaced_deployment("d", NS)
        d.status.observed_generation = g
        d.spec.replicas = 9
        try:
            d = apps.replace_namespaced_deployment_status("d", NS, d)
            break
        except client.exceptions.ApiException as e:
            eq(e.status, 409)
    eq((d.spec.replicas, d.status.observed_generation, d.metadata.generation), (2, g, g))


@check("lists: selectors, pages over one snapshot, all namespaces")
def _():
    for i in range(25):
        core.create_namespaced_config_map(NS, config_map("p%02d" % i, labels={"set": "even" if i % 2 == 0 else "odd"}))
    eq(len(core.list_namespaced_config_map(NS, label_selector="set=even").items), 13)
    eq(len(core.list_namespaced_config_map(NS, label_selector="set in (odd),set!=even").items), 12)
    eq([c.metadata.name for c in core.list_namespaced_config_map(NS, field_selector="metadata.name=p03").items], ["p03"])
    refused(400, core.list_namespaced_config_map, NS, field_selector="data.k=v")
    page = core.list_namespaced_config_map(NS, limit=10, label_selector="set")
    core.create_namespaced_config_map(NS, config_map("p99", labels={"set": "late"}))
    names = [c.metadata.name for c in page.items]
    rv = page.metadata.resource_version
    while page.metadata._continue:
        page = core.list_namespaced_config_map(NS, limit=10, label_selector="set", _continue=page.metadata._continue)
        eq(page.metadata.resource_version, rv)
        names += [c.metadata.name for c in page.items]
    eq(names, ["p%02d" % i for i in range(25)])
    assert any(c.metadata.namespace == "kube-system" for c in core.list_config_map_for_all_namespaces().items)


@check("a watch: from a revision, with a selector, objects that come and go by their labels")
def _():
    rv = core.list_namespaced_config_map(NS).metadata.resource_version
    seen = []

    def run():
        for ev in watch.Watch().stream(core.list_namespaced_config_map, NS, label_selector="w=1",
                                       resource_version=rv, timeout_seconds=20):
            seen.append((ev["type"], ev["object"].metadata.name))
            if len(seen) == 4:
                return
    t = threading.Thread(target=run, daemon=True)
    t.start()
    core.create_namespaced_config_map(NS, config_map("w1"))
    core.patch_namespaced_config_map("w1", NS, {"metadata": {"labels": {"w": "1"}}})
    core.patch_namespaced_config_map("w1", NS, {"data": {"k": "x"}})
    core.patch_namespaced_config_map("w1", NS, {"metadata": {"labels": {"w": "2"}}})
    core.create_namespaced_config_map(NS, config_map("w2", labels={"w": "1"}))
    t.join(20)
    eq(seen, [("ADDED", "w1"), ("MODIFIED", "w1"), ("DELETED", "w1"), ("ADDED", "w2")])


@check("a watch ends at its time")
def _():
    t = time.time()
    rv = core.list_namespaced_config_map(NS).metadata.resource_version
    eq(list(watch.Watch().stream(core.list_namespaced_config_map, NS, resource_version=rv, timeout_seconds=1)), [])
    assert 0.5 < time.time() - t < 15


@check("dry run, field manager, strict validation")
def _():
    core.create_namespaced_config_map(NS, config_map("dry"), dry_run="All")
    refused(404, core.read_namespaced_config_map, "dry", NS)
    o = core.create_namespaced_config_map(NS, config_map("managed"), field_manager="py")
    m = o.metadata.managed_fields
    eq([(x.manager, x.operation, x.api_version) for x in m], [("py", "Update", "v1")])
    assert "f:k" in m[0].fields_v1["f:data"], m


@check("the dynamic client: any kind by discovery, server-side apply, conflicts")
def _():
    r = dyn.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": {"a": "1", "b": "2"}}

    def apply(body, manager, **kw):
        return r.server_side_apply(body=json.dumps(body), namespace=NS, name="ssa", field_manager=manager, **kw)
    apply(body, "one")
    try:
        apply({**body, "data": {"a": "3"}}, "two")
        raise AssertionError("no conflict")
    except dynamic.exceptions.ConflictError as e:
        assert 'conflict with "one": .data.a' in e.summary(), e.summary()
    apply({**body, "data": {"a": "3"}}, "two", force_conflicts=True)
    apply({**body, "data": {"b": "2"}}, "one")
    eq(dict(core.read_namespaced_config_map("ssa", NS).data), {"a": "3", "b": "2"})
    apply({**body, "data": {}}, "one")
    eq(dict(core.read_namespaced_config_map("ssa", NS).data), {"a": "3"})


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "birds.py.example.com"},
    "spec": {"group": "py.example.com", "scope": "Namespaced",
             "names": {"plural": "birds", "singular": "bird", "kind": "Bird", "listKind": "BirdList"},
             "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                           "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                               "spec": {"type": "object", "required": ["grams"], "properties": {
                                   "grams": {"type": "integer", "minimum": 1, "maximum": 20000},
                                   "song": {"type": "string", "default": "tsee"}}},
                               "status": {"type": "object", "properties": {"seen": {"type": "boolean"}}}}}}}]}}


@check("custom resources: defined, defaulted, validated, watched, removed")
def _():
    ext = client.ApiextensionsV1Api()
    ext.create_custom_resource_definition(CRD)
    for ev in watch.Watch().stream(ext.list_custom_resource_definition, field_selector="metadata.name=birds.py.example.com",
                                   timeout_seconds=20):
        if any(c.type == "Established" and c.status == "True" for c in (ev["object"].status.conditions or [])):
            break
    args = ("py.example.com", "v1", NS, "birds")
    bird = {"apiVersion": "py.example.com/v1", "kind": "Bird", "metadata": {"name": "kinglet"}, "spec": {"grams": 5, "x": 1}}
    o = custom.create_namespaced_custom_object(*args, bird)
    eq(o["spec"], {"grams": 5, "song": "tsee"})
    e = refused(422, custom.patch_namespaced_custom_object, *args, "kinglet", {"spec": {"grams": 0}})
    assert "spec.grams in body should be greater than or equal to 1" in e.body, e.body
    o = custom.patch_namespaced_custom_object_status(*args, "kinglet", {"status": {"seen": True}, "spec": {"grams": 7}})
    eq((o["spec"]["grams"], o["status"]), (5, {"seen": True}))
    eq(len(custom.list_namespaced_custom_object(*args)["items"]), 1)
    ext.delete_custom_resource_definition("birds.py.example.com")
    until(lambda: gone(ext.read_custom_resource_definition, "birds.py.example.com"))
    refused(404, custom.list_namespaced_custom_object, *args)


def gone(f, *args):
    try:
        f(*args)
    except ApiException as e:
        return e.status == 404
    return False


def until(f, limit=30):
    end = time.time() + limit
    while not f():
        assert time.time() < end, "in vain"
        time.sleep(0.05)


@check("who may what: access reviews, a role, a token, a refusal")
def _():
    core.create_namespaced_service_account(NS, {"metadata": {"name": "bot"}})
    rbac.create_namespaced_role(NS, {"metadata": {"name": "reader"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]})
    rbac.create_namespaced_role_binding(NS, {
        "metadata": {"name": "bot"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": NS}]})
    token = core.create_namespaced_service_account_token("bot", NS, {"spec": {"expirationSeconds": 600}}).status.token
    r = client.AuthenticationV1Api().create_token_review({"spec": {"token": token}})
    eq((r.status.authenticated, r.status.user.username), (True, "system:serviceaccount:python:bot"))
    cfg = client.Configuration.get_default_copy()
    cfg.cert_file = cfg.key_file = None
    cfg.api_key = {"authorization": "Bearer " + token}
    bot = client.CoreV1Api(client.ApiClient(cfg))
    bot.list_namespaced_config_map(NS)
    e = refused(403, bot.create_namespaced_config_map, NS, config_map("no"))
    assert 'User \\"system:serviceaccount:python:bot\\" cannot create resource \\"configmaps\\"' in e.body, e.body
    refused(403, bot.list_namespaced_config_map, "default")
    a = client.AuthorizationV1Api(client.ApiClient(cfg)).create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"verb": "list", "resource": "configmaps", "namespace": NS}}})
    eq(a.status.allowed, True)


@check("owners and dependents: background, orphan and foreground deletion")
def _():
    def family(name):
        o = core.create_namespaced_config_map(NS, config_map(name))
        ref = client.V1OwnerReference(api_version="v1", kind="ConfigMap", name=name, uid=o.metadata.uid,
                                      block_owner_deletion=True)
        core.create_namespaced_config_map(NS, client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name=name + "-child", owner_references=[ref])))
    for how in ("Background", "Foreground"):
        family(how.lower())
        core.delete_namespaced_config_map(how.lower(), NS, propagation_policy=how)
        until(lambda: gone(core.read_namespaced_config_map, how.lower() + "-child", NS))
        until(lambda: gone(core.read_namespaced_config_map, how.lower(), NS))
    family("orphan")
    core.delete_namespaced_config_map("orphan", NS, propagation_policy="Orphan")
    until(lambda: gone(core.read_namespaced_config_map, "orphan", NS))
    until(lambda: not core.read_namespaced_config_map("orphan-child", NS).metadata.owner_references)


@check("deletecollection by selector, and a namespace that takes all with it")
def _():
    core.delete_collection_namespaced_config_map(NS, label_selector="set=odd")
    eq(len(core.list_namespaced_config_map(NS, label_selector="set=odd").items), 0)
    eq(len(core.list_namespaced_config_map(NS, label_selector="set=even").items), 13)
    core.delete_namespace(NS)
    until(lambda: gone(core.read_namespace, NS))


config.load_kube_config()
core, apps, rbac, custom = client.CoreV1Api(), client.AppsV1Api(), client.RbacAuthorizationV1Api(), client.CustomObjectsApi()
dyn = dynamic.DynamicClient(client.ApiClient())
failed = 0
for n, (title, f) in enumerate(checks, 1):
    try:
        f()
        print("ok %d - python: %s" % (n, title), flush=True)
    except Exception as e:
        failed += 1
        print("not ok %d - python: %s" % (n, title), flush=True)
        if hasattr(e, "summary"):
            print("# " + e.summary())
        print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()[-12:]), end="")
print("1..%d" % len(checks))
sys.exit(failed > 0)
