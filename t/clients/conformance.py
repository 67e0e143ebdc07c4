#!/usr/bin/python3
"""What Kubernetes' conformance tests ask of an API server on which no pod runs; TAP on stdout.

Every kind goes through the steps that the tests named "... API operations" and
"... lifecycle" go through; what only one test asks has a check of its own below.
Plain HTTP, for the tests look at answers that client libraries hide.
Run as: conformance.py TLS-DIRECTORY, where ca.crt, admin.crt and admin.key lie."""
import base64
import http.client
import json
import ssl
import sys
import traceback
import urllib.parse

NS = "conformance"
MERGE, JSONPATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
checks = []


def check(title):
    def add(f):
        checks.append((title, f))
        return f
    return add


class Server:
    """A connection for each request: the tests' clients share none of their state either."""

    def __init__(self, tls):
        self.context = ssl.create_default_context(cafile=tls + "/ca.crt")
        self.context.load_cert_chain(tls + "/admin.crt", tls + "/admin.key")

    def open(self, method, path, body=None, kind="application/json", accept="application/json", headers=()):
        c = http.client.HTTPSConnection("127.0.0.1", 6443, context=self.context, timeout=20)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        headers = dict(headers, Accept=accept)
        if body is not None:
            headers["Content-Type"] = kind
        c.request(method, path, body, headers)
        return c, c.getresponse()

    def call(self, method, path, body=None, want=None, **kw):
        """The answer's body; its status must be `want`, by default any of success."""
        c, r = self.open(method, path, body, **kw)
        text = r.read()
        c.close()
        if r.status != want and (want is not None or r.status >= 300):
            raise AssertionError("%s %s: %d (not %s): %s" % (method, path, r.status, want, text.decode()[:600]))
        return json.loads(text) if text[:1] == b"{" else text.decode()

    def watch(self, path, **query):
        return Watch(self, path + "?" + urllib.parse.urlencode(dict(query, watch="true", timeoutSeconds="20")))


class Watch:
    def __init__(self, server, path):
        self.connection, self.answer = server.open("GET", path)
        assert self.answer.status == 200, self.answer.read()

    def next(self):
        line = self.answer.readline()
        assert line, "the watch has ended"
        return json.loads(line)

    def until(self, type, holds=lambda o: True):
        seen = []
        while True:
            line = self.answer.readline()
            assert line, "no %s before the watch's end, only %s" % (type, seen)
            e = json.loads(line)
            if e["type"] == type and holds(e["object"]):
                self.connection.close()
                return e["object"]
            seen.append((e["type"], e["object"].get("metadata", {}).get("name")))


def eq(have, want):
    assert have == want, "have %r, want %r" % (have, want)


def has(text, part):
    assert part in text, "%r is not in %r" % (part, text)


def query(path, **q):
    return path + "?" + urllib.parse.urlencode(q)


def in_ns(group_version, plural, name=None, ns=NS):
    root = "/api/v1" if group_version == "v1" else "/apis/" + group_version
    return root + ("/namespaces/" + ns if ns else "") + "/" + plural + ("/" + name if name else "")


POD = {"containers": [{"name": "c", "image": "localhost/demo:1"}]}
LABELS = {"app": "x"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
ONCE = {"metadata": {"labels": LABELS}, "spec": dict(POD, restartPolicy="Never")}
SELECTOR = {"matchLabels": LABELS}
CSR = None
HOOK = {"name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
        "rules": [{"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
                   "resources": ["nothings"]}]}
NOTHING = {"resourceRules": HOOK["rules"]}
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
CONDITION = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test",
             "lastTransitionTime": "2026-01-01T00:00:00Z"}
# Those whose conditions a strategic merge patch merges by type.
MERGED_CONDITIONS = {"pods", "replicationcontrollers", "deployments", "replicasets", "statefulsets", "daemonsets",
                     "jobs", "nodes", "persistentvolumeclaims", "services", "apiservices"}


def crd(name):
    plural, group = name.split(".", 1)
    return {"group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural, "kind": plural.capitalize(), "listKind": plural + "list"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}


# group/version, plural, kind, is it in a namespace, the rest of the object (or a function of the name that makes
# it), and what is written to .status with a merge patch (conditions unless it says otherwise; None: no such
# subresource). A name may be asked for by a function of the number of the object.
C = {"conditions": [CONDITION]}
KINDS = [
    ("v1", "configmaps", "ConfigMap", 1, {"data": {"k": "v"}}, None),
    ("v1", "secrets", "Secret", 1, {"data": {"k": "dg=="}, "type": "Opaque"}, None),
    ("v1", "endpoints", "Endpoints", 1, {"subsets": [{"addresses": [{"ip": "10.9.0.1"}], "ports": [
        {"name": "http", "port": 80, "protocol": "TCP"}]}]}, None),
    ("v1", "events", "Event", 1, lambda n: {
        "involvedObject": {"namespace": NS, "kind": "Pod", "name": "p"}, "reason": "Test", "message": "m",
        "type": "Normal", "source": {"component": "t"}}, None),
    ("v1", "limitranges", "LimitRange", 1, {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "9000"}}]}}, None),
    ("v1", "resourcequotas", "ResourceQuota", 1, {"spec": {"hard": {"pods": "900"}}}, {"hard": {"pods": "901"}}),
    ("v1", "podtemplates", "PodTemplate", 1, {"template": TEMPLATE}, None),
    ("v1", "serviceaccounts", "ServiceAccount", 1, {}, None),
    ("v1", "services", "Service", 1, {"spec": {"ports": [{"port": 80}], "selector": LABELS}}, C),
    ("v1", "pods", "Pod", 1, {"spec": POD}, C),
    ("v1", "replicationcontrollers", "ReplicationController", 1, {"spec": {"replicas": 0, "selector": LABELS,
                                                                          "template": TEMPLATE}}, C),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim", 1, {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}},
     C),
    ("v1", "persistentvolumes", "PersistentVolume", 0, {"spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/x"},
        "storageClassName": "none", "persistentVolumeReclaimPolicy": "Retain"}}, {"message": "StatusPatched",
                                                                                 "reason": "E2E"}),
    ("v1", "nodes", "Node", 0, {"spec": {"unschedulable": True}}, C),
    ("apps/v1", "deployments", "Deployment", 1, {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
     C),
    ("apps/v1", "replicasets", "ReplicaSet", 1, {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
     C),
    ("apps/v1", "statefulsets", "StatefulSet", 1, {"spec": {"replicas": 0, "selector": SELECTOR,
                                                            "serviceName": "s", "template": TEMPLATE}}, C),
    ("apps/v1", "daemonsets", "DaemonSet", 1, {"spec": {"selector": SELECTOR, "template": {
        "metadata": {"labels": LABELS}, "spec": dict(POD, nodeSelector={"no": "node"})}}}, C),
    ("apps/v1", "controllerrevisions", "ControllerRevision", 1, {"revision": 1, "data": {"spec": {"a": 1}}}, None),
    ("batch/v1", "jobs", "Job", 1, {"spec": {"suspend": True, "template": ONCE}}, C),
    ("batch/v1", "cronjobs", "CronJob", 1, {"spec": {"suspend": True, "schedule": "0 0 1 1 *", "jobTemplate": {
        "spec": {"template": ONCE}}}}, {"lastScheduleTime": "2026-01-01T00:00:00Z"}),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", 1, {"spec": {
        "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}}}, C),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", 1, {"spec": {"minAvailable": 1,
                                                                             "selector": SELECTOR}}, C),
    ("networking.k8s.io/v1", "ingresses", "Ingress", 1, {"spec": {"defaultBackend": {"service": {
        "name": "s", "port": {"number": 80}}}}}, {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", 1, {"spec": {"podSelector": SELECTOR}}, None),
    ("networking.k8s.io/v1", "ingressclasses", "IngressClass", 0, {"spec": {"controller": "example.com/c"}}, None),
    ("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR", 0, lambda n: {
        "spec": {"cidrs": ["10.%d.0.0/24" % (100 + int(n[-1]))]}}, C),
    ("networking.k8s.io/v1", "ipaddresses", "IPAddress", 0, {"spec": {"parentRef": {
        "resource": "services", "namespace": NS, "name": "s"}}}, None),
    ("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", 1, {"addressType": "IPv4", "endpoints": [
        {"addresses": ["10.9.0.1"]}]}, None),
    ("coordination.k8s.io/v1", "leases", "Lease", 1, {"spec": {"holderIdentity": "h", "leaseDurationSeconds": 30}},
     None),
    ("events.k8s.io/v1", "events", "Event", 1, {
        "eventTime": "2026-01-01T00:00:00.000001Z", "action": "Do", "reason": "Test", "type": "Normal", "note": "n",
        "reportingController": "t", "reportingInstance": "t-1", "regarding": {"namespace": NS, "kind": "Pod",
                                                                             "name": "p"}}, None),
    ("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", 0, {"handler": "h"}, None),
    ("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", 0, {"value": 100}, None),
    ("storage.k8s.io/v1", "storageclasses", "StorageClass", 0, {"provisioner": "example.com/p"}, None),
    ("storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", 0, {"spec": {
        "attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "p"}}}, {"attached": True}),
    ("storage.k8s.io/v1", "csidrivers", "CSIDriver", 0, {"spec": {}}, None),
    ("storage.k8s.io/v1", "csinodes", "CSINode", 0, {"spec": {"drivers": []}}, None),
    ("storage.k8s.io/v1", "csistoragecapacities", "CSIStorageCapacity", 1, {"storageClassName": "none"}, None),
    ("storage.k8s.io/v1", "volumeattributesclasses", "VolumeAttributesClass", 0, {
        "driverName": "d.example.com", "parameters": {"a": "b"}}, None),
    ("flowcontrol.apiserver.k8s.io/v1", "flowschemas", "FlowSchema", 0, {"spec": {
        "matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"}}}, C),
    ("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", 0, {"spec": {
        "type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}}, C),
    ("rbac.authorization.k8s.io/v1", "roles", "Role", 1, {"rules": RULES}, None),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", 0, {"rules": RULES}, None),
    ("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding", 1, {"roleRef": VIEW}, None),
    ("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", 0, {"roleRef": VIEW}, None),
    ("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", 0,
     {"webhooks": [HOOK]}, None),
    ("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", 0,
     {"webhooks": [HOOK]}, None),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", 0, {"spec": {
        "matchConstraints": NOTHING, "validations": [{"expression": "true"}]}}, C),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", 0,
     {"spec": {"policyName": "none.example.com", "validationActions": ["Deny"]}}, None),
    ("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", 0, {"spec": {
        "matchConstraints": NOTHING, "reinvocationPolicy": "Never", "mutations": [{
            "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]}}, None),
    ("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", 0,
     {"spec": {"policyName": "none.example.com"}}, None),
    ("certificates.k8s.io/v1", "certificatesigningrequests", "CertificateSigningRequest", 0, lambda n: {"spec": {
        "request": CSR, "signerName": "example.com/e2e", "usages": ["digital signature", "server auth"]}}, C),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", 0,
     lambda n: {"spec": crd(n)}, C),
    ("apiregistration.k8s.io/v1", "apiservices", "APIService", 0, lambda n: {"spec": {
        "group": n.split(".", 1)[1], "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
        "insecureSkipTLSVerify": True, "service": {"name": "none", "namespace": NS, "port": 443}}}, C),
    ("resource.k8s.io/v1", "deviceclasses", "DeviceClass", 0, {"spec": {}}, None),
    ("resource.k8s.io/v1", "resourceclaims", "ResourceClaim", 1, {"spec": {}}, None),
    ("resource.k8s.io/v1", "resourceclaimtemplates", "ResourceClaimTemplate", 1, {"spec": {"spec": {}}}, None),
    ("resource.k8s.io/v1", "resourceslices", "ResourceSlice", 0, lambda n: {"spec": {
        "driver": "d.example.com", "nodeName": "n", "pool": {"name": n, "generation": 1, "resourceSliceCount": 1}}},
     None),
]
NAMES = {
    "customresourcedefinitions": lambda i: "conf%d.conf.example.com" % i,
    "apiservices": lambda i: "v1.conf%d.example.com" % i,
    "ipaddresses": lambda i: "192.168.9.%d" % (i + 1),
}
# Their status path leaves all metadata as it is; that of all others takes labels and annotations.
STATUS_ONLY = {"servicecidrs", "volumeattachments", "flowschemas", "prioritylevelconfigurations",
               "validatingadmissionpolicies", "customresourcedefinitions", "apiservices"}


def discovered(gv, plural, status):
    group, _, version = gv.rpartition("/")
    if group:
        g = [g for g in s.call("GET", "/apis")["groups"] if g["name"] == group]
        assert g and version in [v["version"] for v in g[0]["versions"]], gv
        has([v["groupVersion"] for v in s.call("GET", "/apis/" + group)["versions"]], gv)
    names = [r["name"] for r in s.call("GET", ("/apis/" if group else "/api/") + gv)["resources"]]
    has(names, plural)
    eq(plural + "/status" in names, status is not None or plural == "resourceclaims")


def write(path, name, change):
    """PUT of what GET answers, changed; again while others write the object too."""
    for _ in range(10):
        o = s.call("GET", path)
        change(o)
        c, r = s.open("PUT", path, o)
        text = r.read().decode()
        c.close()
        if r.status != 409:
            break
    assert r.status == 200, "PUT %s: %d %s" % (path, r.status, text[:600])
    return json.loads(text)


def statuses(path, name, plural, status):
    """Status through its own path: read, merged (with an annotation, as the tests do), put, and nothing else."""
    eq(s.call("GET", path + "/status")["metadata"]["name"], name)
    got = s.call("PATCH", path + "/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status},
                 kind=MERGE)
    eq(got["metadata"]["annotations"].get("patchedstatus"), None if plural in STATUS_ONLY else "true")
    for k, v in status.items():
        if k == "conditions":
            has([c["type"] for c in got["status"][k]], "StatusUpdate")
        else:
            eq(got["status"][k], v)
    if "conditions" in status:
        def change(o):
            o["status"].setdefault("conditions", []).append(dict(CONDITION, type="StatusPut"))
        got = write(path + "/status", name, change)
        has([c["type"] for c in got["status"]["conditions"]], "StatusPut")
        has([c["type"] for c in s.call("GET", path)["status"]["conditions"]], "StatusPut")
    if plural in MERGED_CONDITIONS:
        got = s.call("PATCH", path + "/status", {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}},
                     kind=STRATEGIC)
        assert {"StatusUpdate", "StatusPut", "StatusPatched"} <= {c["type"] for c in got["status"]["conditions"]}, got


def operations(gv, plural, kind, spaced, rest, status):
    name = NAMES.get(plural, lambda i: "conf-%d" % i)
    home, everywhere = in_ns(gv, plural, ns=NS if spaced else None), in_ns(gv, plural, ns=None)
    select = {"labelSelector": "special=" + plural}
    discovered(gv, plural, status)

    def make(i):
        o = dict(rest(name(i)) if callable(rest) else rest, apiVersion=gv, kind=kind,
                 metadata={"name": name(i), "labels": {"special": plural}})
        return s.call("POST", home, o, want=201)
    made = make(0)
    make(1), make(2)
    one = home + "/" + name(0)
    s.call("POST", home, dict(rest(name(0)) if callable(rest) else rest, apiVersion=gv, kind=kind,
                              metadata={"name": name(0), "labels": {"special": plural}}), want=409)
    got = s.call("GET", one)
    eq((got["metadata"]["uid"], got["kind"], got["apiVersion"]), (made["metadata"]["uid"], kind, gv))
    for at in {home, everywhere}:
        eq(len(s.call("GET", query(at, **select))["items"]), 3)
    since = s.call("GET", query(home, **select))
    eq((since["kind"], since["apiVersion"]), (kind + "List", gv))
    w = s.watch(home, resourceVersion=since["metadata"]["resourceVersion"], **select)
    patched = s.call("PATCH", one, {"metadata": {"annotations": {"patched": "true"}}}, kind=MERGE)
    eq(patched["metadata"]["annotations"]["patched"], "true")
    dry = s.call("PATCH", one + "?dryRun=All", {"metadata": {"annotations": {"dry": "true"}}}, kind=MERGE)
    eq(dry["metadata"]["annotations"]["dry"], "true")
    put = write(one, name(0), lambda o: o["metadata"].setdefault("annotations", {}).update(updated="true"))
    eq((put["metadata"]["annotations"]["updated"], put["metadata"]["annotations"].get("dry")), ("true", None))
    w.until("MODIFIED", lambda o: o["metadata"].get("annotations", {}).get("patched") == "true"
            and o["metadata"]["annotations"].get("updated") == "true")
    if status is not None:
        statuses(one, name(0), plural, status)
    since = s.call("GET", query(home, **select))["metadata"]["resourceVersion"]
    w = s.watch(home, resourceVersion=since, **select)
    s.call("DELETE", query(one, gracePeriodSeconds=0))
    w.until("DELETED", lambda o: o["metadata"]["name"] == name(0))
    eq(s.call("GET", one, want=404)["reason"], "NotFound")
    eq(len(s.call("GET", query(home, **select))["items"]), 2)
    w = s.watch(home, resourceVersion=s.call("GET", query(home, **select))["metadata"]["resourceVersion"], **select)
    s.call("DELETE", query(home, **select))
    w.until("DELETED")
    w = s.watch(home, resourceVersion=s.call("GET", query(home, **select))["metadata"]["resourceVersion"], **select)
    while s.call("GET", query(everywhere, **select))["items"]:
        w.until("DELETED")
        w = s.watch(home, resourceVersion=s.call("GET", query(home, **select))["metadata"]["resourceVersion"], **select)


for k in KINDS:
    check("%s %s: every operation" % (k[0], k[1]))(lambda k=k: operations(*k))

# --- what single tests ask -----------------------------------------------

def make(gv, plural, o, want=201, ns=NS, **q):
    return s.call("POST", query(in_ns(gv, plural, ns=ns), **q) if q else in_ns(gv, plural, ns=ns), o, want=want)


def thing(gv, kind, name, rest=None, **meta):
    return dict(rest or {}, apiVersion=gv, kind=kind, metadata=dict(meta, name=name))


def config_map(name, data=None, **meta):
    return thing("v1", "ConfigMap", name, {"data": data or {"k": "v"}}, **meta)


def workload(kind, name, replicas=0):
    return thing("apps/v1", kind, name, {"spec": {"replicas": replicas, "selector": SELECTOR, "template": TEMPLATE}})


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
EXPECTED = """v1/namespaces admissionregistration.k8s.io/v1/validatingwebhookconfigurations
apiextensions.k8s.io/v1/customresourcedefinitions apiregistration.k8s.io/v1/apiservices apps/v1/deployments
authentication.k8s.io/v1/tokenreviews authorization.k8s.io/v1/selfsubjectaccessreviews
autoscaling/v1/horizontalpodautoscalers autoscaling/v2/horizontalpodautoscalers batch/v1/jobs
certificates.k8s.io/v1/certificatesigningrequests coordination.k8s.io/v1/leases discovery.k8s.io/v1/endpointslices
events.k8s.io/v1/events networking.k8s.io/v1/ingresses node.k8s.io/v1/runtimeclasses policy/v1/poddisruptionbudgets
scheduling.k8s.io/v1/priorityclasses storage.k8s.io/v1/csinodes""".split()


@check("discovery: every group has a preferred version among its versions, and the resources that must be there")
def _():
    for group in s.call("GET", "/apis/")["groups"]:
        g = s.call("GET", "/apis/%s/" % group["name"])
        has([v["groupVersion"] for v in g["versions"]], g["preferredVersion"]["groupVersion"])
        eq((g["kind"], g["preferredVersion"]), ("APIGroup", group["preferredVersion"]))
        for v in g["versions"]:
            s.call("GET", "/apis/" + v["groupVersion"])
    for e in EXPECTED:
        gv, plural = e.rsplit("/", 1)
        r = s.call("GET", ("/api/" if gv == "v1" else "/apis/") + gv)
        eq(r["groupVersion"], gv)
        has([x["name"] for x in r["resources"]], plural)
    s.call("GET", "/apis/apps/v1/please-dont-ever-create-this", want=404)
    s.call("GET", "/apis/not-these-apps/v1", want=404)


@check("discovery: aggregated when the Accept header asks for it, with CustomResourceDefinitions")
def _():
    def seen():
        for path in "/api", "/apis":
            l = s.call("GET", path, accept=AGGREGATED)
            eq((l["kind"], l["apiVersion"]), ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"))
            for g in l["items"]:
                for v in g["versions"]:
                    for r in v["resources"]:
                        yield "/".join(filter(None, [g["metadata"].get("name"), v["version"], r["resource"]]))
    assert not set(EXPECTED) - set(seen()), set(EXPECTED) - set(seen())
    define("aggrs.aggr.example.com")
    has(list(seen()), "aggr.example.com/v1/aggrs")
    undefine("aggrs.aggr.example.com")
    assert "aggr.example.com/v1/aggrs" not in seen()
    c, r = s.open("GET", "/apis", accept=AGGREGATED + ",application/json;g=apidiscovery.k8s.io;v=v2beta1;"
                  "as=APIGroupDiscoveryList,application/json")
    has(r.getheader("Content-Type"), "as=APIGroupDiscoveryList")


@check("/version and /openapi answer what a client reads first")
def _():
    v = s.call("GET", "/version")
    assert v["major"] == "1" and v["minor"].rstrip("+").isdigit() and v["gitVersion"].startswith("v1."), v
    has(s.call("GET", "/openapi/v3")["paths"], "apis/apps/v1")


@check("a Table of what has none is not acceptable")
def _():
    e = s.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", thing(
        "authorization.k8s.io/v1", "SelfSubjectAccessReview", "", {"spec": {"resourceAttributes": {
            "verb": "get", "resource": "pods"}}}), want=406, accept=TABLE)
    eq((e["reason"], e["status"]), ("NotAcceptable", "Failure"))
    has(e["message"], "only the following media types are accepted")


@check("a list comes in chunks of one state, with the number of those that remain")
def _():
    total, at = 400, in_ns("v1", "podtemplates")
    for i in range(total):
        make("v1", "podtemplates", thing("v1", "PodTemplate", "template-%04d" % i, {"template": TEMPLATE}))
    for limit in 7, 40, 333:
        found, since, more = 0, None, ""
        while True:
            l = s.call("GET", query(at, limit=limit, **({"continue": more} if more else {})))
            assert len(l["items"]) <= limit
            since = since or l["metadata"]["resourceVersion"]
            eq(l["metadata"]["resourceVersion"], since)
            names = [i["metadata"]["name"] for i in l["items"]]
            eq(names, ["template-%04d" % i for i in range(found, found + len(names))])
            found += len(names)
            more = l["metadata"].get("continue")
            eq(l["metadata"].get("remainingItemCount"), total - found if more else None)
            if found == limit:
                make("v1", "configmaps", config_map("between-%d" % limit))
            if not more:
                break
        eq(found, total)
    eq(len(s.call("GET", query(at, limit=total + 1))["items"]), total)
    s.call("DELETE", at)


@check("strict decoding: unknown and duplicate fields of a typed object")
def _():
    d = json.dumps(workload("Deployment", "my-dep"))
    at = query(in_ns("apps/v1", "deployments"), fieldManager="m", fieldValidation="Strict")
    e = s.call("POST", at, d.replace('"replicas": 0', '"unknownField": "foo", "replicas": 2, "replicas": 3'), want=400)
    has(e["message"], 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"')
    e = s.call("POST", at, d.replace('"name": "my-dep"', '"name": "my-dep", "unknownMeta": "foo"'), want=400)
    has(e["message"], 'strict decoding error: unknown field "metadata.unknownMeta"')


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FIELDS = {"foo": {"type": "string"},
          "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
          "ports": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
                    "items": {"type": "object", "required": ["containerPort", "protocol"], "properties": {
                        "containerPort": {"type": "integer", "format": "int32"}, "hostIP": {"type": "string"},
                        "hostPort": {"type": "integer", "format": "int32"}, "name": {"type": "string"},
                        "protocol": {"type": "string"}}}}}


def define(name, schema=None, versions=("v1",), scope="Namespaced", labels=None, version_more=None, **more):
    """A CustomResourceDefinition that is established."""
    spec = dict(crd(name), scope=scope, **more)
    spec["versions"] = [dict({"name": v, "served": True, "storage": v == versions[0], "schema": {
        "openAPIV3Schema": schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}},
        **(version_more or {})) for v in versions]
    w = s.watch(CRDS, fieldSelector="metadata.name=" + name)
    o = s.call("POST", CRDS, thing("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, {"spec": spec},
                                   labels=labels or {}), want=201)
    while not any(c["type"] == "Established" and c["status"] == "True"
                  for c in w.next()["object"]["status"].get("conditions") or []):
        pass
    w.connection.close()
    return o


def undefine(name):
    w = s.watch(CRDS, fieldSelector="metadata.name=" + name)
    s.call("DELETE", CRDS + "/" + name)
    w.until("DELETED")


@check("strict decoding: custom resources, applied as YAML")
def _():
    spec = {"type": "object", "properties": FIELDS}
    template = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}}, "spec": {"type": "object"}}}
    preserving = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": FIELDS}
    embedding = dict(preserving, properties=dict(FIELDS, template=template))
    text = """
apiVersion: %(group)s/v1
kind: %(kind)s
metadata:
  name: mytest
  finalizers:
  - test-finalizer%(meta)s
spec:%(more)s
  foo: foo1%(twice)s
  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP"""

    def apply(plural, schema, want, meta="", more="", twice="", before=""):
        group = plural + ".example.com"
        define(plural + "." + group, schema and {"type": "object", "properties": {"spec": schema}}, scope="Cluster",
               versions=("v1beta1", "v1"))
        body = text % {"group": group, "kind": plural.capitalize(), "meta": meta, "more": more, "twice": twice}
        at = query("/apis/%s/v1/%s/mytest" % (group, plural), fieldManager="m", fieldValidation="Strict")
        r = s.call("PATCH", at, body.replace("\nspec:", before + "\nspec:"), want=want, kind=APPLY)
        if want == 201:
            s.call("PATCH", at, '{"metadata":{"finalizers":null}}', kind=MERGE)
        undefine(plural + "." + group)
        return json.dumps(r)
    apply("valids", spec, 201)
    apply("frees", None, 201, more="\n  unknown: uk1")
    has(apply("roots", spec, 500, before="\nunknownField: unknown"), ".unknownField: field not declared in schema")
    has(apply("metas", embedding, 500, meta="\n  unknownMeta: unknown"), ".metadata.unknownMeta: field not declared")
    has(apply("metas", embedding, 500, more="""
  template:
    apiVersion: foo/v1
    kind: Sub
    metadata:
        unknownSubMeta: unknown
        name: subobject
        namespace: conformance"""), ".spec.template.metadata.unknownSubMeta: field not declared in schema")
    has(apply("twices", preserving, 400, more="\n  unknown: uk1", twice="\n  foo: foo2"),
        'line 11: key \\"foo\\" already set in map')


@check("watches: an object that leaves a selector is deleted, one that comes back is added; from any version on")
def _():
    a, at = make("v1", "configmaps", config_map("watched", labels={"w": "yes"})), in_ns("v1", "configmaps")
    one = at + "/watched"
    first = s.call("PATCH", one, {"data": {"mutation": "1"}}, kind=MERGE)
    s.call("PATCH", one, {"data": {"mutation": "2"}}, kind=MERGE)
    w = s.watch(at, resourceVersion=first["metadata"]["resourceVersion"], labelSelector="w=yes")
    e = w.next()
    eq((e["type"], e["object"]["data"]["mutation"]), ("MODIFIED", "2"))
    left = s.call("PATCH", one, {"metadata": {"labels": {"w": "no"}}}, kind=MERGE)
    e = w.next()
    eq((e["type"], e["object"]["metadata"]["resourceVersion"]), ("DELETED", left["metadata"]["resourceVersion"]))
    s.call("PATCH", one, {"data": {"mutation": "3"}}, kind=MERGE)
    s.call("PATCH", one, {"metadata": {"labels": {"w": "yes"}}}, kind=MERGE)
    e = w.next()
    eq((e["type"], e["object"]["data"]["mutation"]), ("ADDED", "3"))
    s.call("DELETE", one)
    e = w.next()
    eq((e["type"], e["object"]["data"]["mutation"]), ("DELETED", "3"))
    since, versions = a["metadata"]["resourceVersion"], []
    for _ in range(3):
        w = s.watch(at, resourceVersion=since, fieldSelector="metadata.name=watched")
        versions.append([])
        while True:
            e = w.next()
            versions[-1].append((e["type"], e["object"]["metadata"]["resourceVersion"]))
            if e["type"] == "DELETED":
                break
        w.connection.close()
    assert versions[0] == versions[1] == versions[2] and len(versions[0]) == 6, versions


@check("namespaces: patch, status, finalizers through finalize, and what is in one goes with it")
def _():
    at = "/api/v1/namespaces/"
    s.call("POST", at[:-1], thing("v1", "Namespace", "conf-ns"), want=201)
    n = s.call("PATCH", at + "conf-ns", {"metadata": {"labels": {"testLabel": "testValue"}}}, kind=STRATEGIC)
    eq(n["metadata"]["labels"]["testLabel"], "testValue")
    eq(n["metadata"]["labels"]["kubernetes.io/metadata.name"], "conf-ns")
    n = s.call("PATCH", at + "conf-ns/status", {"metadata": {"annotations": {"e2e-patched": "yes"}}, "status": {
        "conditions": [dict(CONDITION, type="StatusPatch")]}}, kind=MERGE)
    eq([c["type"] for c in n["status"]["conditions"]], ["StatusPatch"])
    n["status"]["conditions"].append(CONDITION)
    n = s.call("PUT", at + "conf-ns/status", n)
    eq([c["type"] for c in n["status"]["conditions"]], ["StatusPatch", "StatusUpdate"])
    n = write(at + "conf-ns", "conf-ns", lambda o: o["metadata"]["labels"].update(updated="yes"))
    n["spec"]["finalizers"].append("e2e.example.com/fakeFinalizer")
    n = s.call("PUT", at + "conf-ns/finalize", n)
    eq(n["spec"]["finalizers"], ["kubernetes", "e2e.example.com/fakeFinalizer"])
    n["spec"]["finalizers"].pop()
    eq(s.call("PUT", at + "conf-ns/finalize", n)["spec"]["finalizers"], ["kubernetes"])
    make("v1", "services", thing("v1", "Service", "svc", {"spec": {"ports": [{"port": 80}]}}), ns="conf-ns")
    make("v1", "pods", thing("v1", "Pod", "held", {"spec": POD}, finalizers=["example.com/held"]), ns="conf-ns")
    make("v1", "configmaps", config_map("last"), ns="conf-ns")
    w = s.watch(at[:-1], fieldSelector="metadata.name=conf-ns")
    eq(s.call("DELETE", at + "conf-ns")["status"]["phase"], "Terminating")
    n = w.until("MODIFIED", lambda o: any(c["type"] == "NamespaceContentRemaining" and c["status"] == "True"
                                          for c in o["status"].get("conditions", [])))
    s.call("GET", at + "conf-ns/configmaps/last")
    e = make("v1", "configmaps", config_map("late"), ns="conf-ns", want=403)
    eq(e["details"]["causes"][0]["reason"], "NamespaceTerminating")
    w = s.watch(at[:-1], fieldSelector="metadata.name=conf-ns")
    s.call("PATCH", at + "conf-ns/pods/held", {"metadata": {"finalizers": None}}, kind=MERGE)
    w.until("DELETED")
    s.call("POST", at[:-1], thing("v1", "Namespace", "conf-ns"), want=201)
    for plural in "services", "pods":
        eq(s.call("GET", at + "conf-ns/" + plural)["items"], [])
    s.call("DELETE", at + "conf-ns")
    s.call("DELETE", at[:-1], want=405)


@check("scale: read, put and patched, of every kind that has it")
def _():
    for gv, plural, kind in (("v1", "replicationcontrollers", "ReplicationController"),
                             ("apps/v1", "deployments", "Deployment"), ("apps/v1", "replicasets", "ReplicaSet"),
                             ("apps/v1", "statefulsets", "StatefulSet")):
        o = workload(kind, "scaled", 1)
        o["apiVersion"] = gv
        if gv == "v1":
            o["spec"]["selector"] = LABELS
        make(gv, plural, o)
        one = in_ns(gv, plural, "scaled")
        x = s.call("GET", one + "/scale")
        eq((x["kind"], x["apiVersion"], x["spec"]["replicas"]), ("Scale", "autoscaling/v1", 1))
        x["metadata"]["resourceVersion"], x["spec"]["replicas"] = "", 2
        eq(s.call("PUT", one + "/scale", x)["spec"]["replicas"], 2)
        eq(s.call("GET", one)["spec"]["replicas"], 2)
        for kind_of, n in (MERGE, 4), (STRATEGIC, 3):
            eq(s.call("PATCH", one + "/scale", {"spec": {"replicas": n}}, kind=kind_of)["spec"]["replicas"], n)
        eq(s.call("GET", one)["spec"]["replicas"], 3)
        s.call("PATCH", one + "/scale", {"spec": {"replicas": 0}}, kind=MERGE)
        eq(s.call("GET", one)["spec"]["replicas"], 0)
        s.call("DELETE", one + "?propagationPolicy=Background")


@check("config maps and secrets: immutable for good; labels change still")
def _():
    for plural, kind, data in ("configmaps", "ConfigMap", "v"), ("secrets", "Secret", "dg=="):
        one = in_ns("v1", plural, "fixed")
        make("v1", plural, thing("v1", kind, "fixed", {"data": {"k": data}}))
        o = s.call("GET", one)
        o["data"]["new"] = data
        o = s.call("PUT", one, o)
        o["immutable"] = True
        o = s.call("PUT", one, o)
        e = s.call("PUT", one, dict(o, immutable=False), want=422)
        has(e["message"], "field is immutable when `immutable` is set")
        s.call("PUT", one, dict(o, data={"k": data}), want=422)
        s.call("PATCH", one, {"data": {"k": "eA=="}}, want=422, kind=STRATEGIC)
        o["metadata"]["labels"] = {"label1": "value1"}
        eq(s.call("PUT", one, o)["metadata"]["labels"], {"label1": "value1"})
        s.call("DELETE", one)
    e = make("v1", "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e"},
                                  "data": {"": "v"}}, want=422)
    make("v1", "secrets", thing("v1", "Secret", "e", {"data": {"": "dg=="}}), want=422)


@check("service accounts: life, tokens and their review, the root certificate of every namespace")
def _():
    at = in_ns("v1", "serviceaccounts", "tested")
    make("v1", "serviceaccounts", thing("v1", "ServiceAccount", "tested", {"automountServiceAccountToken": False}))
    eq(write(at, "tested", lambda o: o.update(automountServiceAccountToken=True))["automountServiceAccountToken"], True)
    a = s.call("PATCH", at, {"automountServiceAccountToken": False}, kind=STRATEGIC)
    eq(a["automountServiceAccountToken"], False)
    listed = s.call("GET", query("/api/v1/serviceaccounts", fieldSelector="metadata.name=tested"))["items"]
    eq([i["metadata"]["namespace"] for i in listed], [NS])
    t = s.call("POST", at + "/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                       "spec": {"audiences": [], "expirationSeconds": 3600}}, want=201)
    r = s.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", thing(
        "authentication.k8s.io/v1", "TokenReview", "", {"spec": {"token": t["status"]["token"]}}), want=201)
    eq((r["status"]["authenticated"], r["status"].get("error", "")), (True, ""))
    eq(r["status"]["user"]["username"], "system:serviceaccount:%s:tested" % NS)
    eq(r["status"]["user"]["uid"], a["metadata"]["uid"])
    ca = in_ns("v1", "configmaps", "kube-root-ca.crt")
    was = s.call("GET", ca)["data"]["ca.crt"]
    w = s.watch(in_ns("v1", "configmaps"), fieldSelector="metadata.name=kube-root-ca.crt")
    s.call("DELETE", ca)
    w.until("DELETED")
    w = s.watch(in_ns("v1", "configmaps"), fieldSelector="metadata.name=kube-root-ca.crt")
    eq(w.until("ADDED")["data"]["ca.crt"], was)
    s.call("PUT", ca, config_map("kube-root-ca.crt", {"ca.crt": ""}))
    w = s.watch(in_ns("v1", "configmaps"), fieldSelector="metadata.name=kube-root-ca.crt")
    while w.next()["object"]["data"]["ca.crt"] != was:
        pass


@check("issuer discovery: the document, and keys that it points to")
def _():
    d = s.call("GET", "/.well-known/openid-configuration")
    eq((d["response_types_supported"], d["subject_types_supported"]), (["id_token"], ["public"]))
    has(d["jwks_uri"], "/openid/v1/jwks")
    assert s.call("GET", "/openid/v1/jwks")["keys"][0]["use"] == "sig"


@check("subject access reviews say what the request of the impersonated account gets")
def _():
    a = make("v1", "serviceaccounts", thing("v1", "ServiceAccount", "e2e"))
    name = "system:serviceaccount:%s:e2e" % NS
    groups = ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + NS]
    spec = {"resourceAttributes": {"verb": "list", "resource": "configmaps", "namespace": NS, "version": "v1"},
            "user": name, "groups": groups, "uid": a["metadata"]["uid"]}
    gv = "authorization.k8s.io/v1"
    r = make(gv, "subjectaccessreviews", {"apiVersion": gv, "kind": "SubjectAccessReview", "spec": spec}, ns=None)
    eq(r["status"]["allowed"], False)
    s.call("GET", in_ns("v1", "configmaps"), want=403, headers={
        "Impersonate-User": name, "Impersonate-Uid": a["metadata"]["uid"], "Impersonate-Group": groups[0]})
    r = make(gv, "localsubjectaccessreviews", {"apiVersion": gv, "kind": "LocalSubjectAccessReview", "metadata": {
        "namespace": NS}, "spec": dict(spec, user="e2e")})
    eq(r["status"]["allowed"], False)


@check("the API server has Endpoints and an EndpointSlice")
def _():
    eps = s.call("GET", in_ns("v1", "endpoints", "kubernetes", ns="default"))
    assert eps["subsets"][0]["addresses"] and eps["subsets"][0]["ports"][0]["name"] == "https", eps
    l = s.call("GET", query(in_ns("discovery.k8s.io/v1", "endpointslices", ns="default"),
                            labelSelector="kubernetes.io/service-name=kubernetes"))["items"]
    assert l and l[0]["ports"][0]["name"] == "https" and l[0]["endpoints"], l
    svc = s.call("GET", in_ns("v1", "services", "kubernetes", ns="default"))
    eq([(p["name"], p["port"]) for p in svc["spec"]["ports"]], [("https", 443)])


@check("services change their type and session affinity, and their status has a life of its own")
def _():
    one = in_ns("v1", "services", "typed")
    made = make("v1", "services", thing("v1", "Service", "typed", {"spec": {
        "type": "ExternalName", "externalName": "foo.example.com"}}))
    assert "clusterIP" not in made["spec"], made["spec"]

    def change(**spec):
        def f(o):
            for k, v in spec.items():
                o["spec"].pop(k, None) if v is None else o["spec"].update({k: v})
        return write(one, "typed", f)["spec"]
    port = [{"port": 80, "name": "http", "protocol": "TCP", "targetPort": 9376}]
    x = change(type="ClusterIP", externalName=None, ports=port)
    assert x["clusterIP"].count(".") == 3, x
    x = change(type="ExternalName", externalName="foo.example.com", clusterIP=None, clusterIPs=None)
    assert "clusterIP" not in x, x
    x = change(type="NodePort", externalName=None, ports=port)
    assert x["ports"][0]["nodePort"] >= 30000, x
    x = change(sessionAffinity="ClientIP")
    eq(x["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10800)
    x = change(sessionAffinity="None")
    assert "sessionAffinityConfig" not in x, x
    x = change(type="LoadBalancer", loadBalancerClass="example.com/l", externalTrafficPolicy="Local")
    health = x["healthCheckNodePort"]
    assert 30000 <= health != x["ports"][0]["nodePort"], x
    eq(change(healthCheckNodePort=None)["healthCheckNodePort"], health)
    assert "healthCheckNodePort" not in change(externalTrafficPolicy="Cluster")
    taken = thing("v1", "Service", "taken", {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": health}]}})
    make("v1", "services", taken)
    x = write(one, "typed", lambda o: o["spec"].update(externalTrafficPolicy="Local"))["spec"]
    assert x["healthCheckNodePort"] != health, x
    s.call("DELETE", in_ns("v1", "services", "taken"))
    s.call("PATCH", one + "/status", {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}, kind=MERGE)
    x = write(one, "typed", lambda o: o["spec"].update(type="ClusterIP"))
    for k in "allocateLoadBalancerNodePorts", "loadBalancerClass", "externalTrafficPolicy", "healthCheckNodePort":
        assert k not in x["spec"], x
    eq((x["status"], x["spec"]["ports"][0].get("nodePort")), ({"loadBalancer": {}}, None))
    change(type="NodePort")
    # the tests' own way: nothing but the type and the name is changed
    x = change(type="ExternalName", externalName="foo.example.com")
    assert "nodePort" not in x["ports"][0] and "clusterIP" not in x and "ipFamilies" not in x, x
    s.call("DELETE", one)
    s.call("GET", one, want=404)


@check("quotas: life and status")
def _():
    at = in_ns("v1", "resourcequotas", "conf")
    q = make("v1", "resourcequotas", thing("v1", "ResourceQuota", "conf", {"spec": {"hard": {
        "cpu": "500m", "memory": "500Mi"}}}))
    eq(q["spec"]["hard"], {"cpu": "500m", "memory": "500Mi"})
    q["metadata"]["labels"] = {"conf": "updated"}
    q["spec"]["hard"]["memory"] = "750Mi"
    write(at, "conf", lambda o: o.update(spec=q["spec"]))
    eq(s.call("PATCH", at, {"metadata": {"labels": {"conf": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}},
              kind=STRATEGIC)["metadata"]["labels"]["conf"], "patched")
    x = write(at + "/status", "conf", lambda o: o.update(status={"hard": {"cpu": "500m", "memory": "500Mi"}}))
    eq(x["status"]["hard"], {"cpu": "500m", "memory": "500Mi"})
    x = s.call("PATCH", at + "/status", {"metadata": {"labels": {"conf": "patched"}}, "status": {"hard": {
        "memory": "750Mi", "cpu": "1"}}}, kind=MERGE)
    eq(x["status"]["hard"], {"cpu": "1", "memory": "750Mi"})
    s.call("DELETE", query(in_ns("v1", "resourcequotas"), labelSelector="conf=patched"))
    s.call("GET", at, want=404)


@check("events: both groups show one another's, fields select them")
def _():
    e = make("v1", "events", thing("v1", "Event", "selected", {
        "involvedObject": {"namespace": NS, "kind": "Pod", "name": "p"}, "reason": "Selected", "message": "m",
        "type": "Normal", "source": {"component": "e2e"}, "count": 1}))
    for f in ("involvedObject.namespace=" + NS, "reason=Selected,source=e2e", "type=Normal,involvedObject.kind=Pod"):
        assert s.call("GET", query(in_ns("v1", "events"), fieldSelector=f))["items"], f
    x = s.call("PATCH", in_ns("v1", "events", "selected"), {"message": "patched"}, kind=STRATEGIC)
    eq(x["message"], "patched")
    x["series"] = {"count": 100, "lastObservedTime": "2026-01-01T00:00:00.000001Z"}
    eq(write(in_ns("v1", "events", "selected"), "selected", lambda o: o.update(series=x["series"]))["series"],
       x["series"])
    o = s.call("GET", in_ns("events.k8s.io/v1", "events", "selected"))
    eq((o["note"], o["regarding"]["name"], o["deprecatedSource"]["component"]), ("patched", "p", "e2e"))
    new = in_ns("events.k8s.io/v1", "events")
    made = make("events.k8s.io/v1", "events", thing("events.k8s.io/v1", "Event", "new", {
        "eventTime": "2026-01-01T00:00:00.000001Z", "note": "n", "type": "Normal", "action": "Do", "reason": "New",
        "reportingController": "test-controller", "reportingInstance": "test-node",
        "regarding": {"namespace": NS, "kind": "Pod", "name": "p"}}))
    for f in "reportingController=test-controller", "metadata.name=new", "regarding.kind=Pod,reason=New":
        eq([i["metadata"]["name"] for i in s.call("GET", query(new, fieldSelector=f))["items"]], ["new"])
    x = s.call("PATCH", new + "/new", {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000001Z"}},
               kind=STRATEGIC)
    eq(x["series"]["count"], 2)
    x["series"] = {"count": 100, "lastObservedTime": "2026-01-01T00:00:02.000001Z"}
    eq(s.call("PUT", new + "/new", x)["series"]["count"], 100)
    for n in "selected", "new":
        s.call("DELETE", new + "/" + n)


@check("owners: a circle goes as a whole, a dependent with another living owner stays")
def _():
    at, made = in_ns("v1", "configmaps"), []

    def owner(o, **more):
        return dict(more, apiVersion="v1", kind="ConfigMap", name=o["metadata"]["name"], uid=o["metadata"]["uid"])
    made = [make("v1", "configmaps", config_map("circle-%d" % i)) for i in range(3)]
    for i in range(3):
        s.call("PATCH", at + "/circle-%d" % i, {"metadata": {"ownerReferences": [
            owner(made[i - 1], controller=True, blockOwnerDeletion=True)]}}, kind=STRATEGIC)
    w = s.watch(at, fieldSelector="metadata.name=circle-2")
    s.call("DELETE", at + "/circle-0", {"apiVersion": "v1", "kind": "DeleteOptions",
                                        "propagationPolicy": "Foreground"})
    w.until("DELETED")
    for i in 0, 1:
        w = s.watch(at, resourceVersion="0", fieldSelector="metadata.name=circle-%d" % i)
        if s.call("GET", query(at, fieldSelector="metadata.name=circle-%d" % i))["items"]:
            w.until("DELETED")
    a, b = make("v1", "configmaps", config_map("to-go")), make("v1", "configmaps", config_map("to-stay"))
    make("v1", "configmaps", config_map("both", ownerReferences=[owner(a, blockOwnerDeletion=True), owner(b)]))
    make("v1", "configmaps", config_map("one", ownerReferences=[owner(a, blockOwnerDeletion=True)]))
    w = s.watch(at, fieldSelector="metadata.name=to-go")
    s.call("DELETE", at + "/to-go", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"})
    w.until("DELETED")
    eq([o["name"] for o in s.call("GET", at + "/both")["metadata"]["ownerReferences"]], ["to-stay"])
    s.call("GET", at + "/one", want=404)
    make("v1", "configmaps", config_map("left", ownerReferences=[owner(b)]))
    w = s.watch(at, fieldSelector="metadata.name=to-stay")
    s.call("DELETE", at + "/to-stay", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"})
    w.until("DELETED")
    for n in "both", "left":
        eq(s.call("GET", at + "/" + n)["metadata"].get("ownerReferences"), None)


@check("pods: what may be changed, the generation, the quality of service, bad sysctls, ephemeral containers")
def _():
    at = in_ns("v1", "pods")
    res = {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "100m", "memory": "100Mi"}}
    p = make("v1", "pods", thing("v1", "Pod", "p", {"spec": {"containers": [
        {"name": "c", "image": "localhost/demo:1", "resources": res}]}}, generation=100))
    eq((p["status"]["qosClass"], p["metadata"]["generation"], p["status"]["phase"]), ("Guaranteed", 1, "Pending"))
    p = write(at + "/p", "p", lambda o: o["spec"].update(activeDeadlineSeconds=600))
    eq((p["spec"]["activeDeadlineSeconds"], p["metadata"]["generation"]), (600, 2))
    p = write(at + "/p", "p", lambda o: o["metadata"].update(labels={"time": "1"}, generation=77))
    eq(p["metadata"]["generation"], 2)
    p = s.call("PATCH", at + "/p", {"spec": {"containers": [{"name": "c", "image": "localhost/demo:2"}]}},
               kind=STRATEGIC)
    eq((p["spec"]["containers"][0]["image"], p["metadata"]["generation"]), ("localhost/demo:2", 3))
    p = s.call("PATCH", at + "/p/status", {"status": {"message": "Patched by e2e test", "reason": "E2E"}}, kind=MERGE)
    eq((p["status"]["message"], p["status"]["reason"]), ("Patched by e2e test", "E2E"))
    p = s.call("PATCH", at + "/p/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
               kind=STRATEGIC)
    eq([c["status"] for c in p["status"]["conditions"] if c["type"] == "Ready"], ["False"])
    p = s.call("PATCH", at + "/p/ephemeralcontainers", {"spec": {"ephemeralContainers": [
        {"name": "debugger", "image": "localhost/demo:1", "tty": True, "stdin": True}]}}, kind=STRATEGIC)
    eq([c["name"] for c in p["spec"]["ephemeralContainers"]], ["debugger"])
    p["spec"]["ephemeralContainers"].append({"name": "debugger2", "image": "localhost/demo:1"})
    p = s.call("PUT", at + "/p/ephemeralcontainers", p)
    eq(len(p["spec"]["ephemeralContainers"]), 2)
    e = make("v1", "pods", thing("v1", "Pod", "sysctl", {"spec": dict(POD, securityContext={"sysctls": [
        {"name": n, "value": "100000"} for n in ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")]})}), want=422)
    for name in "foo-", "bar..":
        has(e["message"], 'Invalid value: "%s"' % name)
    assert "kernel.shmmax" not in e["message"] and "safe-and-unsafe" not in e["message"], e["message"]
    make("v1", "pods", thing("v1", "Pod", "rc", {"spec": dict(POD, runtimeClassName="none")}), want=403)
    make("node.k8s.io/v1", "runtimeclasses", thing("node.k8s.io/v1", "RuntimeClass", "heavy", {
        "handler": "h", "overhead": {"podFixed": {"cpu": "10m", "memory": "1Mi"}}}), ns=None)
    p = make("v1", "pods", thing("v1", "Pod", "heavy", {"spec": dict(POD, runtimeClassName="heavy")}))
    eq(p["spec"]["overhead"], {"cpu": "10m", "memory": "1Mi"})
    s.call("DELETE", "/apis/node.k8s.io/v1/runtimeclasses/heavy")
    s.call("DELETE", at)


@check("priority classes: the value is for good, and a whole update with it is refused")
def _():
    one = "/apis/scheduling.k8s.io/v1/priorityclasses/p1"
    o = make("scheduling.k8s.io/v1", "priorityclasses", thing("scheduling.k8s.io/v1", "PriorityClass", "p1", {
        "value": 1}), ns=None)
    s.call("PUT", one, dict(o, value=10), want=422)
    s.call("PATCH", one, {"value": 10}, kind=MERGE, want=422)
    eq(s.call("PATCH", one, {"description": "Patched"}, kind=MERGE)["description"], "Patched")
    e = make("scheduling.k8s.io/v1", "priorityclasses", thing("scheduling.k8s.io/v1", "PriorityClass", "p3", {
        "value": 1000000001}), ns=None, want=422)
    s.call("DELETE", one)


@check("what a client may not choose: uid, status and version of a new object")
def _():
    va = thing("storage.k8s.io/v1", "VolumeAttachment", "given", {
        "spec": {"attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "p"}},
        "status": {"attached": True}}, uid="given")
    o = make("storage.k8s.io/v1", "volumeattachments", va, ns=None)
    assert o["metadata"]["uid"] != "given" and not o["status"]["attached"], o
    va["metadata"].update(name="given2", resourceVersion="5")
    make("storage.k8s.io/v1", "volumeattachments", va, ns=None, want=500)
    s.call("DELETE", "/apis/storage.k8s.io/v1/volumeattachments/given")


@check("approval of a certificate request, and a certificate put by its signer")
def _():
    at = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    c = s.call("POST", at, {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                            "metadata": {"generateName": "e2e-example-csr-"}, "spec": {
                                "request": CSR, "signerName": "example.com/e2e-a", "expirationSeconds": 3600,
                                "usages": ["digital signature", "key encipherment", "server auth"]}}, want=201)
    one = at + "/" + c["metadata"]["name"]
    eq(len(s.call("GET", query(at, fieldSelector="spec.signerName=example.com/e2e-a"))["items"]), 1)
    eq(s.call("GET", one + "/approval")["metadata"]["uid"], c["metadata"]["uid"])
    c = s.call("PATCH", one + "/approval", {"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {
        "conditions": [{"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]}}, kind=MERGE)
    eq(([x["type"] for x in c["status"]["conditions"]], c["metadata"]["annotations"]["patchedapproval"]),
       (["ApprovalPatch"], "true"))
    c["status"]["conditions"].append({"type": "Approved", "status": "True", "reason": "E2E", "message": "m"})
    c = s.call("PUT", one + "/approval", c)
    eq(c["status"]["conditions"][1]["type"], "Approved")
    pem = base64.b64encode(open(sys.argv[1] + "/ca.crt", "rb").read()).decode()
    c = s.call("PATCH", one + "/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {
        "certificate": pem}}, kind=MERGE)
    eq((c["status"]["certificate"], c["metadata"]["annotations"]["patchedstatus"]), (pem, "true"))
    c["status"]["conditions"].append({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"})
    c = s.call("PUT", one + "/status", c)
    eq(len(c["status"]["conditions"]), 3)
    s.call("DELETE", query(at, fieldSelector="spec.signerName=example.com/e2e-a"))
    s.call("GET", one, want=404)


@check("definitions: listed and deleted by label, defaults, watches, field selectors, status")
def _():
    for i in range(3):
        define("listed%d.listed.example.com" % i, labels={"e2e": "list"})
    l = s.call("GET", query(CRDS, labelSelector="e2e=list"))["items"]
    eq(len(l), 3)
    one = CRDS + "/" + l[0]["metadata"]["name"]
    x = s.call("GET", one + "/status")
    has([c["type"] for c in x["status"]["conditions"]], "Established")
    x["status"]["conditions"].append(CONDITION)
    x = s.call("PUT", one + "/status", x)
    eq([c["message"] for c in x["status"]["conditions"] if c["type"] == "StatusUpdate"], ["Set from a test"])
    x = s.call("PATCH", one + "/status", [{"op": "add", "path": "/status/conditions", "value": [
        dict(CONDITION, type="StatusPatched")]}], kind=JSONPATCH)
    has([c["type"] for c in x["status"]["conditions"]], "StatusPatched")
    s.call("DELETE", query(CRDS, labelSelector="e2e=list"))
    w = s.watch(CRDS, labelSelector="e2e=list")
    while s.call("GET", query(CRDS, labelSelector="e2e=list"))["items"]:
        w.next()

    props = {"a": {"type": "string", "default": "A"}, "b": {"type": "string", "default": "B"},
             "color": {"type": "string"}}
    define("defaults.defaults.example.com", {"type": "object", "properties": props}, scope="Cluster",
           version_more={"selectableFields": [{"jsonPath": ".color"}]})
    at = "/apis/defaults.defaults.example.com/v1/defaults".replace("defaults.defaults", "defaults")
    gv = "defaults.example.com/v1"
    w = s.watch(at, resourceVersion="0", fieldSelector="color=blue")
    o = s.call("POST", at, thing(gv, "Defaults", "foo", {"a": "1", "color": "blue"}), want=201)
    eq((o["a"], o["b"]), ("1", "B"))
    eq(w.next()["type"], "ADDED")
    s.call("PATCH", at + "/foo", {"color": "green"}, kind=MERGE)
    eq(w.next()["type"], "DELETED")
    eq([i["metadata"]["name"] for i in s.call("GET", query(at, fieldSelector="color=green"))["items"]], ["foo"])
    eq(s.call("GET", query(at, fieldSelector="color=blue"))["items"], [])
    s.call("GET", query(at, fieldSelector="a=1"), want=400)
    d = s.call("PATCH", CRDS + "/defaults.defaults.example.com", [{
        "op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/c",
        "value": {"type": "string", "default": "C"}}], kind=JSONPATCH)
    eq(s.call("GET", at + "/foo")["c"], "C")
    w = s.watch(at, resourceVersion="0")
    undefine("defaults.defaults.example.com")
    w.until("DELETED")
    s.call("GET", at, want=404)


@check("definitions: published in OpenAPI v2, as they are changed")
def _():
    schema = {"type": "object", "description": "Foo CRD for Testing", "properties": {
        "spec": {"type": "object", "description": "Specification of Foo", "properties": {
            "bars": {"type": "array", "description": "List of Bars", "items": {"type": "object", "required": ["name"],
                     "properties": {"name": {"type": "string", "description": "Name of Bar."},
                                    "feeling": {"type": "string", "enum": ["Great", "Down"]},
                                    "age": {"type": "string", "maxLength": 9, "format": "byte"},
                                    "bazs": {"type": "array", "items": {"type": "string"}}}}}}},
        "status": {"type": "object", "description": "Status of Foo", "properties": {
            "available": {"type": "boolean"}, "n": {"type": "integer", "format": "int64", "minimum": 1}}}}}
    define("foos.pub.example.com", schema, versions=("v1", "v2"))

    def published(version):
        return s.call("GET", "/openapi/v2")["definitions"].get("com.example.pub.%s.Foos" % version)
    for v in "v1", "v2":
        d = published(v)
        eq(d["x-kubernetes-group-version-kind"], [{"group": "pub.example.com", "kind": "Foos", "version": v}])
        for k in "apiVersion", "kind", "metadata":
            del d["properties"][k]
        del d["x-kubernetes-group-version-kind"]
        eq(d, schema)
    one = CRDS + "/foos.pub.example.com"
    s.call("PATCH", one, [{"op": "replace", "path": "/spec/versions/1/name", "value": "v3"}], kind=JSONPATCH)
    assert published("v3") and not published("v2")
    s.call("PATCH", one, [{"op": "replace", "path": "/spec/versions/1/served", "value": False}], kind=JSONPATCH)
    assert published("v1") and not published("v3")
    undefine("foos.pub.example.com")
    assert not published("v1")


@check("definitions: conditions with nothing but a message, defaults that come and go")
def _():
    define("quirks.quirk.example.com", {"type": "object", "properties": {"a": {"type": "string"},
                                                                        "b": {"type": "string"}}}, scope="Cluster")
    one, at = CRDS + "/quirks.quirk.example.com", "/apis/quirk.example.com/v1/quirks"
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/%s/default"
    s.call("POST", at, thing("quirk.example.com/v1", "Quirks", "cr1"), want=201)
    s.call("PATCH", one, [{"op": "add", "path": path % "a", "value": "A"}], kind=JSONPATCH)
    eq(s.call("GET", at + "/cr1")["a"], "A")
    eq(s.call("POST", at, thing("quirk.example.com/v1", "Quirks", "cr2"), want=201)["a"], "A")
    s.call("PATCH", one, [{"op": "remove", "path": path % "a"}, {"op": "add", "path": path % "b", "value": "B"}],
           kind=JSONPATCH)
    x = s.call("GET", at + "/cr2")
    eq((x["a"], x["b"]), ("A", "B"))
    assert "a" not in s.call("GET", at + "/cr1")
    empty = {"type": "", "status": "", "lastTransitionTime": None, "reason": "", "message": "updated"}
    x = write(one + "/status", "", lambda o: o["status"]["conditions"].append(empty))
    has([c.get("message") for c in x["status"]["conditions"]], "updated")
    x = s.call("PATCH", one + "/status", [{"op": "add", "path": "/status/conditions", "value": [
        {"message": "patched"}]}], kind=JSONPATCH)
    has([c.get("message") for c in x["status"]["conditions"]], "patched")
    undefine("quirks.quirk.example.com")


@check("addresses and ranges of services: any parent, both families, the default range")
def _():
    at = "/apis/networking.k8s.io/v1/ipaddresses"
    for name, of in ("255.255.255.255", "broadcast"), ("fe80::42:1dff:fe84:f9e2", "link-local"):
        make("networking.k8s.io/v1", "ipaddresses", thing("networking.k8s.io/v1", "IPAddress", name, {"spec": {
            "parentRef": {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}}},
            labels={"type": of}), ns=None)
    s.call("DELETE", at + "/255.255.255.255")
    s.call("DELETE", query(at, labelSelector="type=link-local"))
    eq(s.call("GET", query(at, labelSelector="type in (broadcast,link-local)"))["items"], [])
    cidr = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes"
    c = s.call("GET", cidr)
    eq((c["metadata"]["uid"], c["kind"]), (s.call("GET", cidr + "/status")["metadata"]["uid"], "ServiceCIDR"))
    eq([x["status"] for x in c["status"]["conditions"] if x["type"] == "Ready"], ["True"])


@check("leases: times to the microsecond, replaced and patched whole")
def _():
    gv, one = "coordination.k8s.io/v1", in_ns("coordination.k8s.io/v1", "leases", "lease")
    spec = {"holderIdentity": "holder", "leaseDurationSeconds": 30, "acquireTime": "2026-01-01T00:00:00.123456Z",
            "renewTime": "2026-01-01T00:00:05.000000Z", "leaseTransitions": 0}
    eq(make(gv, "leases", thing(gv, "Lease", "lease", {"spec": spec}))["spec"], spec)
    spec.update(holderIdentity="holder2", leaseTransitions=1, acquireTime="2026-01-01T00:00:10.500000Z")
    eq(write(one, "lease", lambda o: o.update(spec=spec))["spec"], spec)
    spec.update(holderIdentity="holder3", leaseTransitions=2)
    eq(s.call("PATCH", one, {"spec": {"holderIdentity": "holder3", "leaseTransitions": 2}}, kind=STRATEGIC)["spec"],
       spec)
    s.call("DELETE", in_ns(gv, "leases"))
    s.call("GET", one, want=404)


@check("disruption budgets: patched in any form, disrupted pods put and taken away")
def _():
    gv, one = "policy/v1", in_ns("policy/v1", "poddisruptionbudgets", "foo")
    make(gv, "poddisruptionbudgets", thing(gv, "PodDisruptionBudget", "foo", {"spec": {
        "minAvailable": "1%", "selector": SELECTOR}}))
    eq(write(one, "foo", lambda o: o["spec"].update(minAvailable="2%"))["spec"]["minAvailable"], "2%")
    x = s.call("PATCH", one, {"spec": {"minAvailable": "3%"}}, kind=STRATEGIC)
    eq(x["spec"]["minAvailable"], "3%")
    pods = {"rand": "2026-01-01T00:00:00Z"}
    x = write(one + "/status", "foo", lambda o: o["status"].update(disruptedPods=pods))
    eq(x["status"]["disruptedPods"], pods)
    x = s.call("PATCH", one + "/status", {"status": {"disruptedPods": None}}, kind=MERGE)
    assert not x["status"].get("disruptedPods"), x
    s.call("PATCH", one, {"spec": {"maxUnavailable": 1}}, kind=MERGE, want=422)
    s.call("DELETE", one)


@check("replication controllers: status and scale patched as the lifecycle test does")
def _():
    one = in_ns("v1", "replicationcontrollers", "rc-test")
    make("v1", "replicationcontrollers", thing("v1", "ReplicationController", "rc-test", {"spec": {
        "replicas": 0, "selector": LABELS, "template": TEMPLATE}}, labels={"test-rc-static": "true"}))
    x = s.call("PATCH", one, {"metadata": {"labels": {"test-rc": "patched"}}}, kind=STRATEGIC)
    eq(x["metadata"]["labels"], {"test-rc-static": "true", "test-rc": "patched"})
    x = s.call("PATCH", one + "/status", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, kind=STRATEGIC)
    eq(x["status"].get("readyReplicas", 0), 0)
    eq(s.call("GET", one + "/status")["status"]["replicas"], 0)
    x = s.call("PATCH", one + "/status", {"status": {"readyReplicas": 5}}, kind=STRATEGIC, want=422)
    has(x["message"], "cannot be greater than status.replicas")
    l = s.call("GET", query("/api/v1/replicationcontrollers", labelSelector="test-rc-static=true"))["items"]
    eq(len(l), 1)
    w = s.watch(in_ns("v1", "replicationcontrollers"), labelSelector="test-rc-static=true")
    s.call("DELETE", query(in_ns("v1", "replicationcontrollers"), labelSelector="test-rc-static=true"))
    w.until("DELETED")
    s.call("GET", one, want=404)


@check("persistent volumes and claims: life and status")
def _():
    pv, pvc = "/api/v1/persistentvolumes/pv-conf", in_ns("v1", "persistentvolumeclaims", "pvc-conf")
    make("v1", "persistentvolumes", thing("v1", "PersistentVolume", "pv-conf", {"spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "conf",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp/x"},
        "claimRef": {"namespace": NS, "name": "pvc-conf"}}}, labels={"e2e-pv-pool": "x"}), ns=None)
    make("v1", "persistentvolumeclaims", thing("v1", "PersistentVolumeClaim", "pvc-conf", {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "conf"}}))
    x = s.call("PATCH", pvc + "/status", {"status": {"conditions": [{
        "type": "StatusPatched", "status": "True", "reason": "E2E patchedStatus", "message": "Set by e2e test"}]}},
        kind=MERGE)
    has([c["type"] for c in x["status"]["conditions"]], "StatusPatched")
    x = write(pvc + "/status", "", lambda o: o["status"]["conditions"].append(
        {"type": "StatusUpdate", "status": "True", "reason": "E2E updateStatus", "message": "m"}))
    has([c["type"] for c in x["status"]["conditions"]], "StatusUpdate")
    x = s.call("PATCH", pv + "/status", {"status": {"message": "StatusPatched", "reason": "E2E patchStatus"}},
               kind=MERGE)
    eq((x["status"]["message"], x["status"]["reason"]), ("StatusPatched", "E2E patchStatus"))
    x = write(pv + "/status", "", lambda o: o["status"].update(reason="StatusUpdated"))
    eq(x["status"]["reason"], "StatusUpdated")
    for one in pvc, pv:
        s.call("DELETE", one)


@check("an event series and a new kind of selector: what the clients of both groups send")
def _():
    e = {"eventTime": None, "message": "m", "reason": "Test", "type": "Normal", "source": {"component": "e2e"},
         "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
         "reportingComponent": "", "reportingInstance": "", "involvedObject": {"namespace": NS}}
    for i in range(3):
        make("v1", "events", thing("v1", "Event", "test-event-%d" % i, e, labels={"testevent-set": "true"}))
    l = s.call("GET", query("/api/v1/events", labelSelector="testevent-set=true"))["items"]
    eq(len(l), 3)
    s.call("DELETE", query(in_ns("v1", "events"), labelSelector="testevent-set=true"))
    eq(s.call("GET", query(in_ns("v1", "events"), labelSelector="testevent-set=true"))["items"], [])


s = Server(sys.argv[1])
CSR = base64.b64encode(open(sys.argv[2], "rb").read()).decode()
s.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
print("1..%d" % len(checks))
for n, (title, f) in enumerate(checks, 1):
    try:
        f()
        print("ok %d - %s" % (n, title), flush=True)
    except Exception:
        print("not ok %d - %s" % (n, title))
        print("".join("#   " + line + "\n" for line in traceback.format_exc().splitlines()[-12:]), end="", flush=True)
