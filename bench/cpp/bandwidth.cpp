#include "bandwidth.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

namespace graphgpo::bench {

namespace {

std::uint64_t read_sweep(const std::vector<std::uint64_t>& buffer) {
    std::array<std::uint64_t, 8> sums{};  // one chain of additions would be slower than a cache
    for (std::size_t i = 0; i + sums.size() <= buffer.size(); i += sums.size()) {
        for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += buffer[i + lane];
    }
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : sums) sum += lane;
    return sum;
}

void triad(std::vector<double>& a, const std::vector<double>& b, const std::vector<double>& c) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = b[i] + 3 * c[i];
}

// Of 9 tries of about 64 MiB each, the fastest: the machine can do it, whatever it does besides.
double best_rate(std::size_t buffer_bytes, auto&& sweep) {
    using Clock = std::chrono::steady_clock;
    constexpr std::size_t bytes_per_try = std::size_t{1} << 26;
    const std::size_t sweeps = std::max<std::size_t>(bytes_per_try / buffer_bytes, 1);
    double best = 0;
    for (int attempt = 0; attempt < 9; ++attempt) {
        const Clock::time_point begin = Clock::now();
        for (std::size_t i = 0; i < sweeps; ++i) sweep();
        const std::chrono::duration<double> seconds = Clock::now() - begin;
        best = std::max(best, static_cast<double>(sweeps * buffer_bytes) / seconds.count());
    }
    return best;
}

double measure(std::size_t buffer_bytes) {
    const std::vector<std::uint64_t> buffer(buffer_bytes / sizeof(std::uint64_t), 1);
    const double read = best_rate(buffer_bytes, [&] {
        benchmark::DoNotOptimize(buffer.data());
        benchmark::DoNotOptimize(read_sweep(buffer));
    });
    const std::size_t third = buffer_bytes / sizeof(double) / 3;
    std::vector<double> a(third), b(third, 1), c(third, 2);
    const double stream = best_rate(3 * third * sizeof(double), [&] {
        triad(a, b, c);
        benchmark::ClobberMemory();
    });
    return std::max(read, stream);
}

}  // namespace

double bandwidth(std::size_t buffer_bytes) {
    constexpr std::size_t smallest = std::size_t{1} << 12;
    constexpr std::size_t largest = std::size_t{1} << 28;  // far larger than any cache
    static std::map<std::size_t, double> measured;
    const std::size_t size = std::clamp(std::bit_ceil(buffer_bytes), smallest, largest);
    const auto known = measured.find(size);
    if (known != measured.end()) return known->second;
    return measured[size] = measure(size);
}

}  // namespace graphgpo::bench
