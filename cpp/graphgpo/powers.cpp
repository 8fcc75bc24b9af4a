#include "graphgpo/powers.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace graphgpo {

Powers::Powers(double base, double largest_exponent) : base_(base) {
    constexpr double largest_table = 1024;
    const double size = std::floor(std::clamp(largest_exponent + 1, 0.0, largest_table));
    table_ = table_of(base, static_cast<std::size_t>(size));
    table_end_ = static_cast<double>(table_->size());
}

Powers::Table Powers::table_of(double base, std::size_t size) {
    struct Kept {
        double base = 0;
        Table table;
    };
    thread_local std::array<Kept, 4> all;
    thread_local std::size_t next = 0;
    const auto known = std::ranges::find_if(all, [&](const Kept& kept) {
        return kept.table && kept.base == base && kept.table->size() >= size;
    });
    if (known != all.end()) return known->table;
    // Larger than asked for, or every group a little larger than the last would make one.
    std::vector<double> powers(std::bit_ceil(std::max<std::size_t>(size, 32)));
    for (std::size_t exponent = 0; exponent < powers.size(); ++exponent) {
        powers[exponent] = std::pow(base, static_cast<double>(exponent));
    }
    Kept& replaced = all[next++ % all.size()];
    replaced = {base, std::make_shared<const std::vector<double>>(std::move(powers))};
    return replaced.table;
}

}  // namespace graphgpo
