/*
 * The cluster's certificates: one authority of its own, ECDSA P-256 throughout,
 * each notBefore a day back so that a board without a clock can start.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/vec.h"
#include "cli/server.h"

#define PKI_FILE_MAX (64 << 10)

static int pki_read(const char *dir, const char *name, char **ret, struct err *e)
{
	_cleanup_free_ char *path = path_join(dir, name);
	struct buf b = BUF_INIT;

	*ret = NULL;
	if (!path_exists(path))
		return 0;
	if (path_read(path, PKI_FILE_MAX, &b, e) < 0) {
		buf_release(&b);
		return -e->code;
	}
	*ret = buf_detach(&b, NULL);
	return 0;
}

static int pki_write(const char *dir, const char *name, const char *text, struct err *e)
{
	_cleanup_free_ char *path = path_join(dir, name);

	return path_write_atomic(path, str_of(text), ends_with(name, ".key") ? 0600 : 0644, e);
}

/* Keys are ours alone; that another can read one is said, and left to whoever allowed it. */
static void pki_check_mode(const char *path)
{
	struct stat st;
	char mode[8];

	if (stat(path, &st) < 0 || !(st.st_mode & 077))
		return;
	snprintf(mode, sizeof(mode), "%04o", (unsigned)(st.st_mode & 07777));
	log_warn("a private key can be read by others; make it 0600", LS("path", path),
		 LS("mode", mode));
}

/* A key from its file, made when there is none. */
static int pki_key(const char *dir, const char *name, char **ret, struct err *e)
{
	if (pki_read(dir, name, ret, e) < 0)
		return -e->code;
	if (*ret) {
		_cleanup_free_ char *path = path_join(dir, name);

		pki_check_mode(path);
		return tls_key_check(*ret, NULL, e) < 0 ? err_wrap(e, "the key '%s'", path) : 0;
	}
	if (tls_make_key(ret, e) < 0 || pki_write(dir, name, *ret, e) < 0)
		return -e->code;
	return 0;
}

static bool pki_good(const char *cert, const struct pki *p, const struct tls_cert_spec *spec)
{
	return cert && tls_cert_check(cert, spec, p->ca_cert, PKI_RENEW_DAYS);
}

/* A leaf certificate with its key: <name>.crt, <name>.key. */
static int pki_leaf(struct pki *p, const char *dir, const char *name, const struct tls_cert_spec *spec, char **cert,
		    char **key, struct err *e)
{
	_cleanup_free_ char *crt = xasprintf("%s.crt", name), *k = xasprintf("%s.key", name);
	_cleanup_err_ struct err other = ERR_INIT; /* the certificate is another key's */

	if (pki_key(dir, k, key, e) < 0 || pki_read(dir, crt, cert, e) < 0)
		return -e->code;
	if (pki_good(*cert, p, spec) && tls_key_check(*key, *cert, &other) == 0)
		return 0;
	if (*cert)
		log_info("renewing a certificate", LS("name", name));
	*cert = free_null(*cert);
	if (tls_make_cert(cert, spec, *key, p->ca_cert, p->ca_key, e) < 0 || pki_write(dir, crt, *cert, e) < 0)
		return err_wrap(e, "make the certificate '%s/%s'", dir, crt);
	return 0;
}

static int pki_ca(struct pki *p, const char *dir, struct err *e)
{
	struct tls_cert_spec spec = { .common_name = "kinglet-ca", .is_ca = true, .days = PKI_CA_DAYS };
	_cleanup_free_ char *key = path_join(dir, "ca.key");

	if (pki_read(dir, "ca.crt", &p->ca_cert, e) < 0)
		return -e->code;
	if (p->ca_cert && !path_exists(key)) /* a new one would sign what nobody trusts */
		return err_set(e, ERR_BAD_REQUEST, "the authority's certificate is there, but its key '%s' is missing", key);
	if (pki_key(dir, "ca.key", &p->ca_key, e) < 0)
		return -e->code;
	if (p->ca_cert)
		return tls_key_check(p->ca_key, p->ca_cert, e) < 0 ? err_wrap(e, "the key '%s'", key) : 0;
	if (tls_make_cert(&p->ca_cert, &spec, p->ca_key, NULL, NULL, e) < 0)
		return -e->code;
	return pki_write(dir, "ca.crt", p->ca_cert, e);
}

int pki_load(struct pki *p, const char *dir, const char *const *sans, const char *node_name, const char *node_ip,
	     struct err *e)
{
	_cleanup_free_ char *node_cn = xasprintf("system:node:%s", node_name);
	static const char *const masters[] = { "system:masters", NULL }, *const nodes[] = { "system:nodes", NULL };
	struct tls_cert_spec server = { .common_name = "kinglet", .sans = sans, .server = true, .days = PKI_LEAF_DAYS };
	struct tls_cert_spec admin = { .common_name = "system:admin", .organizations = masters, .client = true,
				       .days = PKI_LEAF_DAYS };
	struct tls_cert_spec node = { .common_name = node_cn, .organizations = nodes, .client = true,
				      .days = PKI_LEAF_DAYS };
	const char *const kubelet_sans[] = { node_name, "localhost", "127.0.0.1", "::1", node_ip, NULL };
	struct tls_cert_spec kubelet = { .common_name = node_cn, .organizations = nodes, .sans = kubelet_sans,
					 .server = true, .days = PKI_LEAF_DAYS };

	*p = (struct pki){ 0 };
	if (path_mkdirs(dir, 0700, e) < 0 || pki_ca(p, dir, e) < 0 ||
	    pki_leaf(p, dir, "server", &server, &p->server_cert, &p->server_key, e) < 0 ||
	    pki_leaf(p, dir, "admin", &admin, &p->admin_cert, &p->admin_key, e) < 0 ||
	    pki_leaf(p, dir, "node", &node, &p->node_cert, &p->node_key, e) < 0 ||
	    pki_leaf(p, dir, "kubelet", &kubelet, &p->kubelet_cert, &p->kubelet_key, e) < 0 ||
	    pki_key(dir, "service-account.key", &p->sa_key, e) < 0) {
		pki_release(p);
		return err_wrap(e, "certificates in '%s'", dir);
	}
	return 0;
}

void pki_release(struct pki *p)
{
	char **all[] = { &p->ca_cert, &p->ca_key, &p->server_cert, &p->server_key, &p->admin_cert,
			 &p->admin_key, &p->node_cert, &p->node_key, &p->kubelet_cert, &p->kubelet_key, &p->sa_key };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		*all[i] = free_null(*all[i]);
}

/* --- kubeconfig --- */

static void kubeconfig_data(struct buf *b, const char *name, const char *text)
{
	buf_addf(b, "    %s: ", name);
	buf_add_base64(b, text, strlen(text), false);
	buf_addch(b, '\n');
}

int kubeconfig_write(const char *path, mode_t mode, const char *server_url, const struct pki *p, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT, old = BUF_INIT;
	_cleanup_err_ struct err none = ERR_INIT;
	const char *slash = strrchr(path, '/');

	buf_adds(&b, "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n");
	kubeconfig_data(&b, "certificate-authority-data", p->ca_cert);
	buf_addf(&b, "    server: %s\n", server_url);
	buf_adds(&b, "contexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n"
		     "current-context: default\nusers:\n- name: default\n  user:\n");
	kubeconfig_data(&b, "client-certificate-data", p->admin_cert);
	kubeconfig_data(&b, "client-key-data", p->admin_key);
	if (path_exists(path) && path_read(path, PKI_FILE_MAX, &old, &none) == 0 && str_eq(buf_str(&old), buf_str(&b)))
		return 0;
	if (slash && slash != path) {
		_cleanup_free_ char *dir = xmemdupz(path, (size_t)(slash - path));

		if (path_mkdirs(dir, 0755, e) < 0)
			return err_wrap(e, "write the kubeconfig '%s'", path);
	}
	if (path_write_atomic(path, buf_str(&b), mode, e) < 0)
		return err_wrap(e, "write the kubeconfig '%s'", path);
	return 0;
}
