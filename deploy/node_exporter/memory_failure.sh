#!/bin/sh
# Writes what memory_failure() did on this host since it booted, for the textfile collector of node_exporter, which has no
# collector of its own for /sys/devices/system/node/nodeN/memory_failure (kernels since 6.3).
#
#   memory_failure.sh DIR      DIR as in --collector.textfile.directory=DIR; once a minute is often enough
#   memory_failure.sh          to standard output
#
# SYSFS is where sysfs is (/sys). If the file cannot be written the exit code is not 0, and the file before it stays.
set -eu
LC_ALL=C
export LC_ALL

name=hwpoison_node_memory_failures_total
nodes=${SYSFS:-/sys}/devices/system/node

metrics() {
	echo "# HELP $name Pages that memory_failure() handled since boot, by result."
	echo "# TYPE $name counter"
	for directory in "$nodes"/node[0-9]*/memory_failure; do
		node=${directory%/memory_failure}
		node=${node##*/node}
		# Not 'total', which is the sum of them, nor what later kernels may count beside them.
		for result in delayed failed ignored recovered; do
			value=
			{ read -r value <"$directory/$result"; } 2>/dev/null || :
			case $value in '' | *[!0-9]*) continue ;; esac
			echo "$name{node=\"$node\",result=\"$result\"} $value"
		done
	done
}

folder=${1-}
set -- "$nodes"/node[0-9]*/memory_failure
if ! [ -d "$1" ]; then
	echo "memory_failure.sh: no $nodes/node*/memory_failure: this kernel does not count (6.3 and later do)" >&2
fi
if [ -z "$folder" ]; then
	metrics
	exit
fi
if ! [ -d "$folder" ]; then
	echo "memory_failure.sh: $folder: no such folder, expected that of --collector.textfile.directory" >&2
	exit 1
fi
# The collector reads *.prom only, and a rename is seen whole or not at all.
temporary=$folder/.memory_failure.$$
trap 'rm -f "$temporary"' EXIT
metrics >"$temporary"
chmod 644 "$temporary"
mv -f "$temporary" "$folder/memory_failure.prom"
