#!/bin/sh
# SPDX-License-Identifier: MIT
# demo_sources.sh COMPILER DEMO FOLDER SOURCE...: examples/demo.sh, which knows nothing of CMake, compiles the sources that CMake's align is made
# of, and finds what they include. The compiler that it is given only preprocesses, and its programs print their arguments.
set -eu
compiler=$1 demo=$2 folder=$3
shift 3
rm -rf "$folder"
mkdir -p "$folder"
cat > "$folder/compiler" <<END
#!/bin/sh
set -eu
out=
previous=
for argument; do
  [ "\$previous" != -o ] || out=\$argument
  previous=\$argument
done
case " \$* " in
  *" -E "*) exec "$compiler" "\$@" ;;
  *" -c "*) exec "$compiler" -E "\$@" ;;
  *) printf '#!/bin/sh\necho "\$*"\n' > "\$out" && chmod +x "\$out" ;;
esac
END
chmod +x "$folder/compiler"
printed=$(CXX=$folder/compiler ATTUNE_DEMO_BUILD=$folder/build sh "$demo" --objective simpo | tail -n 1)
[ "$printed" = "--out $folder/build/out --objective simpo" ] || { echo "align was called with: $printed"; exit 1; }

for source; do echo "${source%.cpp}" | tr / _; done | sort > "$folder/expected"
(cd "$folder/build" && ls ./*.o) | sed 's|^\./||; s|\.o$||' | sort > "$folder/compiled"
diff "$folder/expected" "$folder/compiled" || { echo "the sources of CMake's align (<) and of demo.sh (>) differ"; exit 1; }
echo "demo.sh compiles the $(wc -l < "$folder/compiled") sources of align"
