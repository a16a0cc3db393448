#!/bin/bash
# Whether this container's plane is ready: /status/ready, without a client in the image.
set -eu
exec 3<>/dev/tcp/127.0.0.1/"${1:-8007}"
printf 'GET /status/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r _ status _ <&3
test "$status" = 200
