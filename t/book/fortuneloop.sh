#!/bin/sh
# What the image luksa/fortune runs: a new page each so many seconds ($1, or $INTERVAL).
trap 'exit 0' TERM
interval=${INTERVAL:-${1:-10}}
echo "Configured to generate new fortune every $interval seconds"
mkdir -p /var/htdocs
n=0
while :; do
	n=$((n + 1))
	echo "Writing fortune to /var/htdocs/index.html"
	echo "Fortune number $n favours the prepared mind." >/var/htdocs/index.html
	sleep "$interval" &
	wait $!
done
