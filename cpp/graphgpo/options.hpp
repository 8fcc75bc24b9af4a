// The options of one call. No defaults here: they live once, in the Python GraphGPOConfig.
#pragma once

#include <cstddef>

namespace graphgpo {

enum class Estimator { graphgpo, gigpo, grpo };
enum class Exponent { paper, recipe, progress };
enum class Normalization { mean_std, mean };
enum class EpsilonScale { relative, absolute };
enum class EpisodeWeighting { trajectory, step };

struct Options {
    Estimator estimator;
    double omega;           // 0 < omega < 1
    double success_reward;  // > 0
    Exponent exponent;
    Normalization normalization;
    double epsilon;  // > 0
    EpsilonScale epsilon_scale;
    double step_weight;
    double episode_weight;
    EpisodeWeighting episode_weighting;
    double invalid_action_penalty;  // >= 0
    double gamma;                   // 0 <= gamma <= 1; read by gigpo only
    std::size_t num_threads;        // >= 1; the result does not depend on it
};

}  // namespace graphgpo
