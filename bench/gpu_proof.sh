#!/usr/bin/env bash
# Everything a GPU has to say about graphgpo.torch.device, in one offline run of ten minutes:
#     OUT=FOLDER bench/gpu_proof.sh
# Needs nvcc, g++, cmake, ninja, and a Python with torch, numpy, pybind11, pytest and hypothesis.
# Every step has a limit, and none stops the next. FAIL, LOOK and TIME lines are shown again at the
# end; the exit status is the number of steps that failed. A missing GPU is a failure.
set -uo pipefail
: "${OUT:?expected a folder for the log and proof.json}"
export OUT PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/.."
build=$(mktemp -d) site=$(mktemp -d)
trap 'rm -rf "$build" "$site"' EXIT
mkdir -p "$OUT"
exec > >(tee "$OUT/log.txt") 2>&1

failed=0
step() {
    local name=$1 limit=$2 start=$SECONDS status
    shift 2
    timeout "$limit" "$@"
    status=$?
    [ $status -eq 0 ] || { failed=$((failed + 1)); echo "FAIL  step $name: status $status"; }
    echo "::: $name: status $status, $((SECONDS - start)) s"
}

step gpu 30 nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,compute_cap --format=csv
step compilers 30 bash -c 'nvcc --version | tail -2 && g++ --version | head -1'
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -1 | tr -d .)

step configure 90 cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRAPHGPO_CUDA=ON \
    -DGRAPHGPO_PYTHON=ON -DCMAKE_CUDA_ARCHITECTURES="${arch:-75}-real" \
    -DPython_EXECUTABLE="$(command -v python3)" -Dpybind11_DIR="$(python3 -m pybind11 --cmakedir)"
step build 200 cmake --build "$build" --target _core _cuda
cp -r python/graphgpo "$site"
find "$build" -name '_c*.so' -exec cp {} "$site/graphgpo" \;
export PYTHONPATH="$site:tests:bench"

step proof 240 python3 bench/gpu_proof.py
step tests 150 python3 -m pytest -q -p no:cacheprovider -k cuda \
    tests/test_worked_example.py tests/test_golden_family.py tests/torch/test_device_plans.py
for tool in memcheck racecheck synccheck; do
    if [ $SECONDS -gt 540 ]; then
        echo "LOOK  $tool: left out, for lack of time"
        continue
    fi
    step $tool 90 compute-sanitizer --tool $tool --error-exitcode 9 \
        python3 -m pytest -q -p no:cacheprovider -k "cuda and the_table" tests/test_worked_example.py
done
echo "::: again"
grep -E '^(FAIL|LOOK|TIME)' "$OUT/log.txt"
[ $failed -eq 0 ] && echo "every step succeeded" || echo "$failed steps failed"
exit $failed
