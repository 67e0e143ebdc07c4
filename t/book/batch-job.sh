#!/bin/sh
# What the image batch-job runs; the book's takes two minutes.
trap 'exit 143' TERM
echo "$(date) Batch job starting"
sleep "${SECONDS_OF_WORK:-1}" &
wait $!
echo "$(date) Finished succesfully"
