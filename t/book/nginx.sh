#!/bin/sh
# What the stand-in for nginx:alpine runs: a web server on port 80 for what is below nginx's own directory.
trap 'exit 0' TERM
mkdir -p /usr/share/nginx/html 2>/dev/null
httpd -f -p 80 -h /usr/share/nginx/html &
wait $!
