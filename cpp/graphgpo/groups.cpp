#include "graphgpo/groups.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "graphgpo/errors.hpp"
#include "graphgpo/parallel.hpp"

namespace graphgpo {

std::size_t threads_for(const Groups& groups, std::size_t num_threads) {
    return std::min(useful_threads(num_threads, groups.num_rows()), groups.size());
}

void for_each_group(const Groups& groups, std::size_t num_threads,
                    const std::function<void(GroupId, std::span<const RowId>)>& work) {
    FirstError errors;
    parallel_for(groups.size(), threads_for(groups, num_threads), [&](std::size_t g) {
        const auto rows = groups.rows.row(id_of(g));
        try {
            work(id_of(g), rows);
        } catch (const RowError& error) {
            errors.add(error);
        } catch (const std::invalid_argument& error) {
            // The group as a whole is to blame.
            errors.add(rows.front(), [&] {
                return "the group of row " + std::to_string(rows.front()) + ": " + error.what();
            });
        }
    });
    errors.throw_if_any();
}

bool has_gaps(std::span<const RowId> rows) noexcept {
    return index(rows.back()) - index(rows.front()) + 1 != rows.size();
}

}  // namespace graphgpo
