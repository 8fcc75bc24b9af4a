// What becomes of x among its peers: (x - mean) / s, for one s or another.
#pragma once

#include <cstdint>
#include <tuple>
#include <variant>

#include "graphgpo/block.hpp"

namespace graphgpo {

// "relative": scores are divided by the largest of their peers first.
enum class Scale { absolute, relative };
constexpr Words<Scale, 2> words(Scale) {
    return {{{"absolute", Scale::absolute}, {"relative", Scale::relative}}};
}

// x as it is: compared with nothing.
struct Raw {
    static constexpr std::string_view name = "Raw";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const Raw&, const Raw&) = default;
};

// s = 1
struct Mean {
    Scale scale;

    static constexpr std::string_view name = "Mean";
    static constexpr auto parameters() { return std::tuple(Parameter{"scale", &Mean::scale}); }
    friend bool operator==(const Mean&, const Mean&) = default;
};

// s = std + epsilon, or sqrt(var + epsilon) with `inside`; nothing where std < off_below
struct MeanStd {
    std::int64_t ddof;  // 0 or 1
    double epsilon;     // >= 0
    bool inside;
    Scale scale;
    double off_below;

    static constexpr std::string_view name = "MeanStd";
    static constexpr auto parameters() {
        return std::tuple(
            Parameter{"ddof", &MeanStd::ddof}, Parameter{"epsilon", &MeanStd::epsilon},
            Parameter{"inside", &MeanStd::inside}, Parameter{"scale", &MeanStd::scale},
            Parameter{"off_below", &MeanStd::off_below});
    }
    friend bool operator==(const MeanStd&, const MeanStd&) = default;
};

// s = (n - 1) / n: x minus the mean of the others
struct LeaveOneOut {
    static constexpr std::string_view name = "LeaveOneOut";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const LeaveOneOut&, const LeaveOneOut&) = default;
};

// s = max(std, floor)
struct FlooredStd {
    double floor;  // > 0
    std::int64_t ddof;

    static constexpr std::string_view name = "FlooredStd";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"floor", &FlooredStd::floor},
                          Parameter{"ddof", &FlooredStd::ddof});
    }
    friend bool operator==(const FlooredStd&, const FlooredStd&) = default;
};

using Normaliser = std::variant<Raw, Mean, MeanStd, LeaveOneOut, FlooredStd>;

[[nodiscard]] bool is_relative(const Normaliser& normaliser) noexcept;

// Throws `std::invalid_argument` for a parameter out of range.
void check(const Normaliser& normaliser);

}  // namespace graphgpo
