// libFuzzer: any bytes as a plan of any blocks, on any batch. It is refused, or every step has
// finite credit, the same on several threads.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fuzz_source.hpp"
#include "graphgpo/pipeline.hpp"

using namespace graphgpo;

namespace {

// Blocks in blocks end here.
constexpr int deepest = 3;

class PlanMaker {
  public:
    PlanMaker(Source& source, GivenValues values) : source_(&source), values_(values) {}

    Plan plan() {
        Plan made{.terms = {}, .step_weight = weight(), .episode_weight = weight()};
        for (std::size_t n = choice(3) + 1; n > 0; --n) made.terms.push_back(term());
        return made;
    }

  private:
    std::size_t choice(std::size_t count) { return source_->byte() % count; }
    bool flag() { return choice(2) == 1; }
    double share() { return static_cast<double>(choice(5)) / 4; }
    double weight() { return static_cast<double>(choice(9)) / 4 - 1; }
    double discount() { return 0.1 + 0.2 * static_cast<double>(choice(5)); }
    // Now and then one that is refused.
    double positive() { return choice(8) == 0 ? source_->number() : 0.5 * (1 + share()); }

    Term term() {
        Term made{.comparisons = {}, .average = {}, .modifiers = {}, .weight = weight()};
        for (std::size_t n = choice(3) + 1; n > 0; --n) made.comparisons.push_back(comparison());
        if (choice(4) == 0) made.average = peers();
        for (std::size_t n = choice(3); n > 0; --n) made.modifiers.push_back(modifier());
        return made;
    }
    Comparison comparison() {
        return {.score = score(0),
                .peers = peers(),
                .normaliser = normaliser(),
                .unit = flag() ? Unit::trajectories : Unit::steps,
                .penalty = choice(3) == 0 ? positive() : 0,
                .weight = weight()};
    }
    Peers peers() {
        switch (choice(7)) {
            case 0:
                return SameState{};
            case 1:
                return LastStates{static_cast<std::int64_t>(choice(4))};
            case 2:
                return Task{};
            case 3:
                return Turn{};
            case 4:
                return WholeBatch{};
            case 5:
                return PeerKeys{};
            default:
                return SameTransition{static_cast<std::int64_t>(choice(3))};
        }
    }
    Normaliser normaliser() {
        const Scale scale = flag() ? Scale::relative : Scale::absolute;
        const auto ddof = static_cast<std::int64_t>(choice(2));
        switch (choice(5)) {
            case 0:
                return Raw{};
            case 1:
                return Mean{scale};
            case 2:
                return LeaveOneOut{};
            case 3:
                return FlooredStd{positive(), ddof};
            default:
                return MeanStd{ddof, positive(), flag(), scale, share()};
        }
    }
    Potential potential(int depth) {
        switch (choice(depth < deepest ? 5 : 4)) {
            case 0:
                return {ReachValue{discount(), positive()}};
            case 1: {
                const auto end = static_cast<ValueAtEnd>(choice(3));
                const auto of = static_cast<ReturnOf>(choice(2));
                return {MeanReturn{share(), positive(), of, end, share()}};
            }
            case 2: {
                const auto boundary = flag() ? std::optional(values_) : std::nullopt;
                return {BellmanMean{discount(), static_cast<FailedEnd>(choice(2)), boundary}};
            }
            case 3:
                return {GivenNodes{values_, values_}};
            default:
                return {Log{potential(depth + 1), positive()}};
        }
    }
    Difference difference(int depth) { return {potential(depth), share(), flag(), positive()}; }
    Score score(int depth) {
        switch (choice(depth < deepest ? 11 : 9)) {
            case 0:
                return {EdgeReturn{discount(), positive(), static_cast<Exponent>(choice(3))}};
            case 1:
                return {Target{potential(depth), share()}};
            case 2:
                return {difference(depth)};
            case 3:
                return {Trace{difference(depth), share()}};
            case 4:
                return {ReturnToGo{share(), positive()}};
            case 5:
                return {Outcome{}};
            case 6:
                return {NewStates{}};
            case 7:
                return {GivenScores{values_}};
            case 8:
                return {Surprisal{flag()}};
            case 9:
                return {
                    ActionMean{score(depth + 1), share(), static_cast<UnknownAction>(choice(2))}};
            default:
                return {StandingScore{score(depth + 1), peers(), normaliser(),
                                      static_cast<Unit>(choice(2))}};
        }
    }
    Modifier modifier() {
        switch (choice(6)) {
            case 0:
                return FailureRate{share(), weight()};
            case 1:
                return Polarised{share(), weight()};
            case 2:
                return Seen{static_cast<SeenWhat>(choice(2)), static_cast<std::int64_t>(choice(4))};
            case 3:
                return ActionEvidence{score(deepest), positive(), positive()};
            case 4:
                return NobodyWon{flag()};
            default:
                return Live{};
        }
    }

    Source* source_;
    GivenValues values_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // The plan's bytes and the batch's apart: a row more does not make another plan.
    const std::size_t of_plan = size / 3;
    Source rest(data + of_plan, size - of_plan);
    const FuzzBatch given(rest);
    Source source(data, of_plan);
    try {
        const Plan plan = PlanMaker(source, {given.values}).plan();
        const StepAdvantages credit = compute_advantages(given.batch, plan, 1);
        for (std::size_t row = 0; row < given.states.size(); ++row) {
            require_that(std::isfinite(credit.advantages[row]), "an advantage is not finite");
            require_that(given.has_row(row) || credit.num_peers[row] == 0,
                         "a masked row has peers");
            require_that(credit.num_peers[row] >= 0, "fewer than no peers");
        }
        const StepAdvantages again = compute_advantages(given.batch, plan, 2);
        require_that(again.advantages == credit.advantages, "two threads, another answer");
        require_that(again.num_peers == credit.num_peers, "two threads, other peers");
    } catch (const std::invalid_argument& error) {
        require_that(error.what()[0] != '\0', "an error without a message");
    }
    return 0;
}
