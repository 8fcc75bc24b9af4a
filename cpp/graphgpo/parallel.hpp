// The only file that starts threads.
#pragma once

#include <cstddef>
#include <functional>

namespace graphgpo {

// Calls `work(0) ... work(count - 1)`, each once, on up to `num_threads` threads, the calling one
// among them: in this order on one, in any on several. Threads live for this call only: there is no
// pool that a fork could break. When calls throw, the exception of the smallest index is rethrown
// after all threads have ended. All of them share the calling thread's `Stoppable`; `Stopped` comes
// before other exceptions.
void parallel_for(std::size_t count, std::size_t num_threads,
                  const std::function<void(std::size_t)>& work);

// Of `num_threads`, how many are worth starting for that many rows.
[[nodiscard]] std::size_t useful_threads(std::size_t num_threads, std::size_t num_rows);

}  // namespace graphgpo
