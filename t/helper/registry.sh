# Registries for tests, to be read after t/lib.sh: Debian's docker-registry on loopback,
# each with its files below ./registry.NAME.
#
#	start_registry plain 5000              plain HTTP, open to all
#	start_registry tls 5443 basic          TLS by ./ca.crt, user:pass by Basic authentication
#	start_registry token 5001 token        plain HTTP, tokens from helper/token-server.py on 5002
#	stop_registry NAME
#
#	stop_registries                        all of them

make_registry_ca() # ca.crt, and tls.crt and tls.key for localhost and 127.0.0.1
{
	[ ! -e tls.key ] || return 0
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=test registry CA" \
		-keyout ca.key -out ca.crt 2>/dev/null &&
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=registry" -keyout tls.key -out tls.csr \
		2>/dev/null &&
	printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >tls.ext &&
	openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile tls.ext -out tls.crt 2>/dev/null
}

start_registry() # NAME PORT [basic|token]
{
	mkdir -p "registry.$1/data" &&
	{
		printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n' "$PWD/registry.$1/data"
		printf 'log: {level: error, accesslog: {disabled: true}}\n'
		case $3 in
		basic)
			make_registry_ca &&
			# shellcheck disable=SC2016 # bcrypt of "pass"
			echo 'user:$2y$04$fClFtpPCs84sqdOLSX/bjuF/HKhgJ890hZ4J2.4djFfVIm5Mzg312' >"registry.$1/htpasswd" &&
			printf 'http: {addr: "127.0.0.1:%s", tls: {certificate: %s, key: %s}}\n' "$2" "$PWD/tls.crt" "$PWD/tls.key" &&
			printf 'auth: {htpasswd: {realm: tests, path: %s}}\n' "$PWD/registry.$1/htpasswd"
			;;
		token)
			openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=issuer" -keyout token.key -out token.crt 2>/dev/null &&
			printf 'http: {addr: "127.0.0.1:%s"}\n' "$2" &&
			printf 'auth: {token: {realm: "http://127.0.0.1:5002/token", service: reg, issuer: tests, rootcertbundle: %s}}\n' \
				"$PWD/token.crt"
			;;
		*) printf 'http: {addr: "127.0.0.1:%s"}\n' "$2" ;;
		esac
	} >"registry.$1/config.yml" &&
	{ docker-registry serve "registry.$1/config.yml" >"registry.$1/log" 2>&1 & echo $! >"registry.$1/pid"; } &&
	if [ "$3" = token ]; then
		{ python3 "$srcdir/t/helper/token-server.py" 5002 token.crt token.key tests "$PWD/token.log" >"registry.$1/token.out" 2>&1 & echo $! >"registry.$1/token.pid"; } &&
		wait_for 'curl -s -o /dev/null "http://127.0.0.1:5002/token?service=reg"'
	fi &&
	wait_for "curl -sk -o /dev/null http://127.0.0.1:$2/v2/ || curl -sk -o /dev/null https://127.0.0.1:$2/v2/"
}

# An OCI layout in ./NAME and its tar NAME.tar, called example.org/NAME:1: ./file of so many random bytes, and the
# busybox of the demo image (./demo.tar) below it.
make_image() # NAME BYTES
{
	rm -rf "$1" && mkdir -p "$1" "$1.root" &&
	head -c "$2" /dev/urandom >"$1.root/file" &&
	tar -C "$1.root" -cf "$1.layer" file &&
	tar -xOf demo.tar --wildcards "*/layer.tar" >demo.layer &&
	python3 -c '
import hashlib, json, os, sys, tarfile
name = sys.argv[1]
os.makedirs(name + "/blobs/sha256")
def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    open(name + "/blobs/sha256/" + digest, "wb").write(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}
tar = tarfile.open("demo.tar")
config = json.load(tar.extractfile(json.load(tar.extractfile("manifest.json"))[0]["Config"]))
layers = [blob(open(f, "rb").read(), "layer.v1.tar") for f in ("demo.layer", name + ".layer")]
config["rootfs"]["diff_ids"] = [l["digest"] for l in layers]
config.pop("history", None)
config = blob(json.dumps(config).encode(), "config.v1+json")
manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode(), "manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "example.org/" + name + ":1"}
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(name + "/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(name + "/oci-layout", "w"))
' "$1" &&
	tar -C "$1" -cf "$1.tar" . && rm -rf "$1.layer"
}

stop_registry() # NAME
{
	kill "$(cat "registry.$1/pid")" && wait_for "! kill -0 $(cat "registry.$1/pid")"
}

stop_registries()
{
	for pid in registry.*/pid registry.*/token.pid; do
		[ ! -e "$pid" ] || kill "$(cat "$pid")" 2>/dev/null
	done
	for pid in registry.*/pid registry.*/token.pid; do
		[ ! -e "$pid" ] || wait_for "! kill -0 $(cat "$pid")" || return 1
	done
}
