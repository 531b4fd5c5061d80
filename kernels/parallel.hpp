// Work shared out among threads.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace vlasscube {

// Calls work(item, thread) for item = 0 ... items-1, in any order, on `threads` threads. The first exception
// is passed on.
template <typename Work>
void parallel_for(long items, int threads, Work&& work) {
  if (threads <= 1 || items <= 1) {
    for (long item = 0; item < items; ++item) work(item, 0);
    return;
  }
  std::atomic<long> next{0};
  std::exception_ptr error;
  std::mutex error_lock;
  auto run = [&](int thread) {
    try {
      for (long item = next++; item < items; item = next++) work(item, thread);
    } catch (...) {
      std::lock_guard<std::mutex> guard(error_lock);
      if (!error) error = std::current_exception();
      next = items;
    }
  };
  std::vector<std::thread> helpers;
  for (int thread = 1; thread < threads; ++thread) helpers.emplace_back(run, thread);
  run(0);
  for (auto& helper : helpers) helper.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace vlasscube
