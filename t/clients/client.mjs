// What software written with the official JavaScript client does with a cluster; TAP on stdout.
//
//	client.mjs DIR		DIR/node_modules has @kubernetes/client-node; KUBECONFIG is set
import { createRequire } from 'node:module';
import { strict as assert } from 'node:assert';

const k8s = createRequire(process.argv[2] + '/x.js')('@kubernetes/client-node');
const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const apps = kc.makeApiClient(k8s.AppsV1Api);
const auth = kc.makeApiClient(k8s.AuthorizationV1Api);
const ext = kc.makeApiClient(k8s.ApiextensionsV1Api);
const custom = kc.makeApiClient(k8s.CustomObjectsApi);
const objects = k8s.KubernetesObjectApi.makeApiClient(kc);
const namespace = 'node';
const checks = [];
const check = (title, f) => checks.push([title, f]);
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

async function until(f, limit = 20000) {
	const end = Date.now() + limit;
	while (!(await f())) {
		assert(Date.now() < end, 'in vain: ' + f);
		await sleep(20);
	}
}

async function refused(code, promise) {
	try {
		await promise;
	} catch (e) {
		assert.equal(e.code, code);
		return typeof e.body === 'string' ? e.body : JSON.stringify(e.body);
	}
	assert.fail('was not refused with ' + code);
}

const configMap = (name, data = { k: 'v' }, labels) => ({ metadata: { name, labels }, data });

check('create, read, replace, conflict', async () => {
	await core.createNamespace({ body: { metadata: { name: namespace } } });
	const old = await core.createNamespacedConfigMap({ namespace, body: configMap('a') });
	const now = await core.readNamespacedConfigMap({ name: 'a', namespace });
	now.data.k = 'w';
	await core.replaceNamespacedConfigMap({ name: 'a', namespace, body: now });
	assert.match(await refused(409, core.replaceNamespacedConfigMap({ name: 'a', namespace, body: old })),
		/the object has been modified/);
});

check('an informer: lists, follows, tells of change and deletion, starts again', async () => {
	const seen = [];
	const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'inf=1' });
	await core.createNamespacedConfigMap({ namespace, body: configMap('i0', {}, { inf: '1' }) });
	const informer = k8s.makeInformer(kc, `/api/v1/namespaces/${namespace}/configmaps`, list, 'inf=1');
	for (const verb of ['add', 'update', 'delete'])
		informer.on(verb, (o) => seen.push(`${verb} ${o.metadata.name}`));
	informer.on('error', (e) => seen.push('error ' + e));
	await informer.start();
	await until(() => seen.includes('add i0'));
	await core.createNamespacedConfigMap({ namespace, body: configMap('i1', {}, { inf: '1' }) });
	await until(() => seen.includes('add i1'));
	await core.patchNamespacedConfigMap({ name: 'i1', namespace, body: [{ op: 'add', path: '/data', value: { a: 'b' } }] });
	await until(() => seen.includes('update i1'));
	await core.deleteNamespacedConfigMap({ name: 'i0', namespace });
	await until(() => seen.includes('delete i0'));
	assert.deepEqual(informer.list(namespace).map((o) => o.metadata.name), ['i1']);
	await informer.stop();
	await core.deleteNamespacedConfigMap({ name: 'i1', namespace });
	await informer.start();
	await until(() => informer.list(namespace).length === 0);
	await informer.stop();
	assert.deepEqual(seen.filter((s) => s.startsWith('error') && !s.includes('AbortError')), []);
});

check('a watch with bookmarks and initial events, ended by the client', async () => {
	const types = [];
	const watch = new k8s.Watch(kc);
	const abort = await watch.watch(`/api/v1/namespaces/${namespace}/configmaps`,
		{ allowWatchBookmarks: true, sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' },
		(type, o) => types.push(type + (o.metadata.annotations?.['k8s.io/initial-events-end'] ?? '')), () => {});
	await until(() => types.includes('BOOKMARKtrue'));
	assert.equal(types[0], 'ADDED');
	abort.abort();
});

check('server-side apply, with a conflict and by force', async () => {
	const body = (replicas) => ({
		apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', namespace },
		spec: {
			replicas, selector: { matchLabels: { a: 'd' } },
			template: { metadata: { labels: { a: 'd' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
		},
	});
	const apply = (manager, replicas, force) =>
		objects.patch(body(replicas), undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
	assert.equal((await apply('one', 1)).spec.replicas, 1);
	assert.match(await refused(409, apply('two', 2)), /conflict with .+one.+: \.spec\.replicas/);
	const d = await apply('two', 2, true);
	assert.equal(d.spec.replicas, 2);
	assert.deepEqual(d.metadata.managedFields.filter((m) => m.subresource !== 'status' && m.operation === 'Apply')
		.map((m) => m.manager).sort(), ['one', 'two']);
	assert.equal((await apps.readNamespacedDeploymentScale({ name: 'd', namespace })).spec.replicas, 2);
});

check('objects of any kind by KubernetesObjectApi', async () => {
	const o = await objects.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace },
		stringData: { k: 'v' } });
	assert.equal(o.data.k, 'dg==');
	const got = await objects.read({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace } });
	assert.equal(got.metadata.uid, o.metadata.uid);
	assert.equal((await objects.list('v1', 'Secret', namespace)).items.length, 1);
	await objects.delete(got);
});

check('custom resources', async () => {
	const group = 'js.example.com', version = 'v1', plural = 'nests';
	await ext.createCustomResourceDefinition({ body: {
		metadata: { name: `${plural}.${group}` },
		spec: { group, scope: 'Namespaced', names: { plural, kind: 'Nest', singular: 'nest', listKind: 'NestList' },
			versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: { type: 'object',
				properties: { spec: { type: 'object', properties: { eggs: { type: 'integer' } } } } } } }] },
	} });
	await until(async () => (await ext.readCustomResourceDefinition({ name: `${plural}.${group}` }))
		.status?.conditions?.some((c) => c.type === 'Established' && c.status === 'True'));
	const nest = { apiVersion: `${group}/${version}`, kind: 'Nest', metadata: { name: 'n' }, spec: { eggs: 9 } };
	await custom.createNamespacedCustomObject({ group, version, namespace, plural, body: nest });
	assert.match(await refused(422, custom.createNamespacedCustomObject({ group, version, namespace, plural,
		body: { ...nest, metadata: { name: 'm' }, spec: { eggs: 'many' } } })), /spec.eggs/);
	assert.equal((await custom.listNamespacedCustomObject({ group, version, namespace, plural })).items.length, 1);
	await ext.deleteCustomResourceDefinition({ name: `${plural}.${group}` });
});

check('a question of access, and a namespace that ends', async () => {
	const a = await auth.createSelfSubjectAccessReview({ body: { spec: {
		resourceAttributes: { verb: 'delete', resource: 'nodes' } } } });
	assert.equal(a.status.allowed, true);
	await core.deleteNamespace({ name: namespace });
	await until(async () => {
		try {
			await core.readNamespace({ name: namespace });
		} catch (e) {
			return e.code === 404;
		}
		return false;
	});
});

let failed = 0;
for (const [i, [title, f]] of checks.entries()) {
	try {
		await f();
		console.log(`ok ${i + 1} - javascript: ${title}`);
	} catch (e) {
		failed++;
		console.log(`not ok ${i + 1} - javascript: ${title}`);
		console.log(String(e.stack).split('\n').slice(0, 10).map((l) => '# ' + l).join('\n'));
	}
}
console.log(`1..${checks.length}`);
process.exit(failed ? 1 : 0);
