# For the chapters of the book: its manifests, its images, and what its commands come to.
#
# A chapter is t/book/NN-name.t and begins with
#
#	. "${srcdir:-.}/t/book/lib.sh"
#	start_book kubia nginx
#
# Manifests are t/book/KIND[-WHAT].yaml, one in each file, as the book has them: misspellings are corrected, old
# versions kept, and fragments that the book shows without the rest have got a name. What a test has to change in
# them, so as not to take minutes, it changes in sight, with `manifest NAME | sed`, and says why.
#
# The book's images are stand-ins of the same names (book_image), from a registry of the file's own that takes the
# place of docker.io: a name without a tag is pulled at each start of a container.

. "${srcdir:-.}/t/lib.sh"
test_needs kubectl overlay busybox curl gcc docker-registry
. "$srcdir/t/helper/registry.sh"
book=$srcdir/t/book

# The web application as a static program, see kubia.c.
make_kubia_() # FILE
{
	gcc -static -O2 -s -o "$1.$$" "$book/kubia.c" && mv "$1.$$" "$1"
}

# make_book_image_ NAME CONFIG "FILE:PATH ..." OUT
make_book_image_()
{
	test_image_files=
	for test_file in $3; do
		test_image_files="$test_image_files -f $test_file"
	done
	# shellcheck disable=SC2086 # our own names, without blanks
	"$srcdir/scripts/make-demo-image" -c "$2" $test_image_files "$4" "$1"
}

# An image with the application under several names: kubia_image TAR SCRIPT NAME
kubia_image_()
{
	make_once "$test_images/kubia" make_kubia_ &&
	make_once "$1" make_book_image_ "$3" "\"Entrypoint\":[\"node\",\"$2\"]" "$test_images/kubia:/bin/node"
}

script_image_() # TAR NAME SCRIPT [CMD-JSON [FILE:PATH...]]
{
	test_tar=$1 test_name_=$2 test_script=$3 test_cmd=$4
	shift 4
	make_once "$test_tar" make_book_image_ "$test_name_" "\"Entrypoint\":[\"/bin/$test_script\"]${test_cmd:+,\"Cmd\":$test_cmd}" \
		"$book/$test_script:/bin/$test_script $*"
}

# An image with programs (and files) of this machine, and the libraries that they want.
tool_image_() # TAR NAME PROGRAM|/FILE...
{
	test_tar=$1 test_name_=$2 test_list=
	shift 2
	for test_program; do
		if [ "${test_program#/}" != "$test_program" ]; then
			test_list="$test_list $test_program:$test_program"
			continue
		fi
		test_path=$(command -v "$test_program") || return 1
		test_list="$test_list $(readlink -f "$test_path"):/usr/bin/$test_program"
		test_list="$test_list $(ldd "$test_path" | sed -n 's,.* \(/[^ ]*\) (.*,\1:\1,p; s,^[[:space:]]*\(/[^ ]*\) (.*,\1:\1,p')"
	done
	test_list=$(printf '%s\n' $test_list | sort -u | xargs)
	make_once "$test_tar" make_book_image_ "$test_name_" '"Cmd":["sh"]' "$test_list"
}

# Makes one of the book's images, and has it in the registry and on the node.
book_image() # WHICH
{
	test_images=$KINGLET_BUILD/t/book-images
	test_tar=$test_images/$1.tar
	case $1 in
	kubia) test_of=zou8944/kubia && kubia_image_ "$test_tar" app.js $test_of ;;
	unhealthy) test_of=luksa/kubia-unhealthy && kubia_image_ "$test_tar" unhealthy.js $test_of ;;
	v[123]) test_of=zou8944/kubia:$1 && kubia_image_ "$test_tar" "$1.js" $test_of ;;
	fortune) test_of=luksa/fortune && script_image_ "$test_tar" $test_of fortuneloop.sh '["10"]' ;;
	nginx) test_of=library/nginx:alpine && script_image_ "$test_tar" nginx:alpine nginx.sh '' "$book/default.conf:/etc/nginx/conf.d/default.conf" ;;
	batch-job) test_of=zou8944/batch-job && script_image_ "$test_tar" $test_of batch-job.sh '' ;;
	kubectl-proxy) test_of=luksa/kubectl-proxy:1.6.2 && script_image_ "$test_tar" $test_of kubectl-proxy.sh '' "$(oldest_kubectl):/bin/kubectl" ;;
	dnsutils) test_of=tutum/dnsutils && tool_image_ "$test_tar" $test_of dig nslookup ;;
	curl) test_of=tutum/curl && tool_image_ "$test_tar" $test_of curl /etc/ssl/certs/ca-certificates.crt ;;
	*) echo "no such image: $1"; return 1 ;;
	esac &&
	"$KINGLET" image --data-dir "$DATA" import "$test_tar" &&
	"$KINGLET" image --data-dir "$DATA" push "${test_of#library/}" "127.0.0.1:5000/$test_of"
}

# Before start_book: a network that the node (192.0.2.1) shares with another machine (192.0.2.2, a network namespace).
start_lan()
{
	test_expect_success 'a network, and another machine in it' '
		{ unshare -n sleep 6000 & } && test_lan=$! &&
		wait_for "test \"\$(readlink /proc/$test_lan/ns/net)\" != \"\$(readlink /proc/self/ns/net)\"" &&
		ip link add lan0 type veth peer name eth0 netns $test_lan &&
		ip address add 192.0.2.1/24 dev lan0 && ip link set lan0 up &&
		outside ip address add 192.0.2.2/24 dev eth0 && outside ip link set eth0 up && outside ip link set lo up &&
		outside ip route add default via 192.0.2.1
	'
}

end_lan()
{
	ip link del lan0 && kill $test_lan && { wait $test_lan || :; }
}

outside() # COMMAND...: on the other machine
{
	nsenter -t $test_lan -n "$@"
}

outside_bg() # in the background there, as kubectl_bg
{
	exec nsenter -t $test_lan -n "$@"
}

start_book() # [--OPTION-OF-THE-SERVER=VALUE...] IMAGE...
{
	test_book_options=
	while [ "${1#--}" != "$1" ]; do
		test_book_options="$test_book_options $1"
		shift
	done
	test_book_images=$*
	test_expect_success 'a cluster, and the images of this chapter' '
		start_registry docker 5000 &&
		for image in $test_book_images; do
			book_image $image || return 1
		done &&
		printf "mirrors:\n  docker.io: {endpoint: [\"http://127.0.0.1:5000\"]}\n" >registries.yaml &&
		start_server --private-registry "$PWD/registries.yaml" $test_book_options &&
		wait_node
	'
}

end_book()
{
	test_expect_success 'the chapter ends' '
		stop_registries &&
		killall_pods
	'
	test_done
}

manifest() # NAME
{
	cat "$book/$1.yaml"
}

create() # NAME: kubectl create -f, as the book does nearly everything
{
	kubectl create -f "$book/$1.yaml"
}

field() # RESOURCE PATH
{
	kubectl get "$1" -o "jsonpath={$2}"
}

ready() # POD...
{
	kubectl wait --for=condition=Ready "$@" --timeout=$((30 * TEST_SLOW))s
}

have() # RESOURCE PATH VALUE: comes to be
{
	kubectl wait "$1" --for="jsonpath={$2}=$3" --timeout=$((40 * TEST_SLOW))s
}

names() # KUBECTL-GET-ARGUMENTS: names of the objects that are not to go, sorted, in one line
{
	kubectl get "$@" --no-headers -o custom-columns=N:.metadata.name,D:.metadata.deletionTimestamp 2>/dev/null |
		sed -n 's/ *<none>$//p' | sort | xargs
}

count() # KUBECTL-GET-ARGUMENTS: how many those are
{
	names "$@" | wc -w
}

ask() # URL: its answer; who has just been started may not listen yet
{
	for test_try in $(seq 100); do
		curl -sS --max-time 10 "$@"
		test_asked=$?
		[ $test_asked = 7 ] || return $test_asked
		sleep 0.1
	done
	return 7
}

hit() # POD [PORT]: its answer by HTTP, from the node
{
	ask "http://$(field "pod/$1" .status.podIP):${2:-8080}/"
}

oldest_kubectl() # the oldest that is installed, for what kubectl has dropped since
{
	kubectl_versions | head -n 1
}

events() # OBJECT: "Type Reason Message" of its events
{
	kubectl get events --field-selector "involvedObject.name=$1" \
		-o jsonpath='{range .items[*]}{.type} {.reason} {.message}{"\n"}{end}'
}
