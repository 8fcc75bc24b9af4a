// What every binding of the method shares: options in, metrics out.
#pragma once

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "graphgpo/metrics.hpp"
#include "graphgpo/options.hpp"

namespace graphgpo::bindings {

template <typename Enum, std::size_t size>
[[nodiscard]] Enum choice(const char* option, std::string_view value,
                          const std::array<std::pair<std::string_view, Enum>, size>& choices) {
    for (const auto& [name, meaning] : choices) {
        if (name == value) return meaning;
    }
    throw std::invalid_argument(std::string(option) + " is '" + std::string(value) +
                                "'; expected another word");
}

// In the words of GraphGPOConfig, which do not say how many threads: one, until a call sets it.
[[nodiscard]] inline Options read_options(std::string_view estimator, double omega,
                                          double success_reward, std::string_view exponent,
                                          std::string_view normalization, double epsilon,
                                          std::string_view epsilon_scale, double step_weight,
                                          double episode_weight, std::string_view episode_weighting,
                                          double invalid_action_penalty, double gamma) {
    using enum Estimator;
    return {
        .estimator = choice<Estimator, 3>(
            "estimator", estimator, {{{"graphgpo", graphgpo}, {"gigpo", gigpo}, {"grpo", grpo}}}),
        .omega = omega,
        .success_reward = success_reward,
        .exponent = choice<Exponent, 3>("exponent", exponent,
                                        {{{"paper", Exponent::paper},
                                          {"recipe", Exponent::recipe},
                                          {"progress", Exponent::progress}}}),
        .normalization = choice<Normalization, 2>(
            "normalization", normalization,
            {{{"mean_std", Normalization::mean_std}, {"mean", Normalization::mean}}}),
        .epsilon = epsilon,
        .epsilon_scale = choice<EpsilonScale, 2>(
            "epsilon_scale", epsilon_scale,
            {{{"relative", EpsilonScale::relative}, {"absolute", EpsilonScale::absolute}}}),
        .step_weight = step_weight,
        .episode_weight = episode_weight,
        .episode_weighting = choice<EpisodeWeighting, 2>(
            "episode_weighting", episode_weighting,
            {{{"trajectory", EpisodeWeighting::trajectory}, {"step", EpisodeWeighting::step}}}),
        .invalid_action_penalty = invalid_action_penalty,
        .gamma = gamma,
        .num_threads = 1};
}

// Under names that are made once.
[[nodiscard]] inline pybind11::dict metrics_dict(const Metrics& metrics) {
    namespace py = pybind11;
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::tuple> storage;
    const py::tuple& names = storage
                                 .call_once_and_store_result([&] {
                                     py::tuple made(metrics.size());
                                     for (std::size_t i = 0; i < metrics.size(); ++i) {
                                         made[i] = py::str(metrics[i].first);
                                     }
                                     return made;
                                 })
                                 .get_stored();
    py::dict dict;
    for (std::size_t i = 0; i < metrics.size(); ++i) dict[names[i]] = metrics[i].second;
    return dict;
}

}  // namespace graphgpo::bindings
