// What the parameter structs of plans share. Each names its parameters once, in `parameters()`:
// whoever builds a plan from outside (a binding, a file, a fuzzer) reads them by those names.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace graphgpo {

template <typename Block, typename Value>
struct Parameter {
    std::string_view name;
    Value Block::* member;
};
// Clang deduces an aggregate's arguments by itself only from version 17 on.
template <typename Block, typename Value>
Parameter(std::string_view, Value Block::*) -> Parameter<Block, Value>;

// A block inside another. Never null; equal when what they hold is.
template <typename T>
class Box {
  public:
    explicit(false) Box(T value) : value_(std::make_shared<const T>(std::move(value))) {}

    [[nodiscard]] const T& operator*() const noexcept { return *value_; }
    [[nodiscard]] const T* operator->() const noexcept { return value_.get(); }

    [[nodiscard]] friend bool operator==(const Box& a, const Box& b) {
        return a.value_ == b.value_ || *a.value_ == *b.value_;
    }

  private:
    std::shared_ptr<const T> value_;
};

// Numbers of the caller's, one a row: a view, equal to itself alone.
struct GivenValues {
    std::span<const double> values;

    [[nodiscard]] friend bool operator==(const GivenValues& a, const GivenValues& b) noexcept {
        return a.values.data() == b.values.data() && a.values.size() == b.values.size();
    }
};

// Words of an enum that appear in plans, found by overload: `words(Exponent{})`.
template <typename Enum, std::size_t size>
using Words = std::array<std::pair<std::string_view, Enum>, size>;

}  // namespace graphgpo
