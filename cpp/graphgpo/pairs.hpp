// Dense numbers of pairs of dense numbers: nothing is hashed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// Of items, each below `size`.
struct Numbers {
    Array<std::int32_t> of;
    std::size_t size = 0;
};

struct NumbersView {
    std::span<const std::int32_t> of;
    std::size_t size;

    NumbersView(std::span<const std::int32_t> items, std::size_t below) : of(items), size(below) {}
    explicit(false) NumbersView(const Numbers& numbers) : of(numbers.of), size(numbers.size) {}
};

// Numbers pairs in the order in which they are asked for, all of one first number before the next.
class PairNumbers {
  public:
    explicit PairNumbers(std::size_t num_seconds) : number_(num_seconds, none) {}

    void begin_first() noexcept { begun_ = id_of(size_); }
    [[nodiscard]] std::int32_t with(std::int32_t second) noexcept {
        std::int32_t& number = number_[index(second)];
        if (number < begun_) number = id_of(size_++);
        return number;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

  private:
    Array<std::int32_t> number_;  // by second number: of its last pair, maybe of another first one
    std::int32_t begun_ = 0;
    std::size_t size_ = 0;
};

// By item: its pair of the row that lists it and its second number. Rows list every item.
[[nodiscard]] inline Numbers pairs_of(const Csr& by_first, const NumbersView& second) {
    PairNumbers pairs(second.size);
    Numbers numbers{.of = Array<std::int32_t>(second.of.size())};
    StopMeter meter;
    for (std::size_t row = 0; row < by_first.num_rows(); ++row) {
        const auto items = by_first.row(id_of(row));
        meter(items.size());
        pairs.begin_first();
        for (const auto item : items) {
            numbers.of[index(item)] = pairs.with(second.of[index(item)]);
        }
    }
    numbers.size = pairs.size();
    return numbers;
}

[[nodiscard]] inline Numbers pairs_of(const NumbersView& first, const NumbersView& second) {
    return pairs_of(group_by_row(first.of, first.size), second);
}

}  // namespace graphgpo
