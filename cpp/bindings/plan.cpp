// One generic reader: dicts of parameters by name, {"block": name, ...} where several blocks may
// stand. What parameters there are, the blocks say themselves (`parameters()`).
#include "plan.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>

#include "arrays.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

template <typename T>
concept HasParameters = requires { T::parameters(); };

template <typename T>
struct As {};  // which type to read

class PlanReader {
  public:
    explicit PlanReader(std::vector<py::object>& arrays) : arrays_(&arrays) {}

    template <typename T>
    [[nodiscard]] T read(py::handle value) const {
        return as(value, As<T>());
    }

  private:
    [[nodiscard]] double as(py::handle value, As<double>) const { return value.cast<double>(); }
    [[nodiscard]] std::int64_t as(py::handle value, As<std::int64_t>) const {
        return value.cast<std::int64_t>();
    }
    [[nodiscard]] bool as(py::handle value, As<bool>) const { return value.cast<bool>(); }

    template <typename Enum>
        requires std::is_enum_v<Enum>
    [[nodiscard]] Enum as(py::handle value, As<Enum>) const {
        const auto word = value.cast<std::string>();
        for (const auto& [name, meaning] : words(Enum{})) {
            if (name == word) return meaning;
        }
        throw std::invalid_argument("'" + word + "' is not a word of this option");
    }

    [[nodiscard]] GivenValues as(py::handle value, As<GivenValues>) const {
        auto array = value.cast<Column<double>>();
        const GivenValues given{view(array)};
        arrays_->push_back(std::move(array));
        return given;
    }

    template <typename T>
    [[nodiscard]] std::optional<T> as(py::handle value, As<std::optional<T>>) const {
        if (value.is_none()) return std::nullopt;
        return read<T>(value);
    }
    template <typename T>
    [[nodiscard]] std::vector<T> as(py::handle values, As<std::vector<T>>) const {
        std::vector<T> found;
        for (const py::handle value : values) found.push_back(read<T>(value));
        return found;
    }
    template <typename T>
    [[nodiscard]] Box<T> as(py::handle value, As<Box<T>>) const {
        return read<T>(value);
    }

    // Parameters stand in the order of the members.
    template <HasParameters T>
    [[nodiscard]] T as(py::handle value, As<T>) const {
        return std::apply([&](const auto&... parameter) { return T{member(value, parameter)...}; },
                          T::parameters());
    }
    template <typename T, typename Value>
    [[nodiscard]] Value member(py::handle value, const Parameter<T, Value>& parameter) const {
        return read<Value>(value[py::str(parameter.name)]);
    }

    template <typename... Blocks>
    [[nodiscard]] std::variant<Blocks...> as(py::handle value, As<std::variant<Blocks...>>) const {
        const auto name = value["block"].cast<std::string>();
        std::optional<std::variant<Blocks...>> found;
        const auto try_one = [&]<typename Block>(As<Block> block) {
            if (!found && Block::name == name) found.emplace(as(value, block));
        };
        (try_one(As<Blocks>()), ...);
        if (found) return *std::move(found);
        throw std::invalid_argument("the core has no block '" + name + "' that may stand here");
    }
    template <typename T>
        requires requires { typename T::Block; }
    [[nodiscard]] T as(py::handle value, As<T>) const {
        return {read<typename T::Block>(value)};
    }

    std::vector<py::object>* arrays_;
};

}  // namespace

void bind_plan(py::module_& module) {
    py::class_<OwnedPlan>(module, "Plan", py::is_final(),
                          py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                          "An estimator as the core computes it. Opaque.")
        .def(py::init([](const py::dict& plan) {
                 OwnedPlan owned;
                 owned.plan = PlanReader(owned.arrays).read<Plan>(plan);
                 return owned;
             }),
             "plan"_a);
}

}  // namespace graphgpo::bindings
