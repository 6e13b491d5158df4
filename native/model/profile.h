// Where the time of one forward pass goes: spans recorded by the threads themselves, when somebody asks.
#ifndef LIMBECK_MODEL_PROFILE_H_
#define LIMBECK_MODEL_PROFILE_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "bind/limbeck.h"

namespace limbeck {

// One list of spans a thread, so that nobody waits for anybody. All room is made ready beforehand: threads must not
// throw.
class Profile {
 public:
  // `most`: spans that a thread can come to; what comes beyond is dropped.
  Profile(int threads, size_t most) : spans_(static_cast<size_t>(threads)) {
    for (std::vector<LimbeckSpan>& own : spans_) own.reserve(most);
  }

  static int64_t Now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  void Add(const LimbeckSpan& span) {
    std::vector<LimbeckSpan>& own = spans_[static_cast<size_t>(span.thread)];
    if (own.size() < own.capacity()) own.push_back(span);
  }
  const std::vector<std::vector<LimbeckSpan>>& spans() const { return spans_; }

 private:
  std::vector<std::vector<LimbeckSpan>> spans_;
};

// Records what happens until it goes out of scope; costs a test of a pointer where nobody asked.
class Span {
 public:
  Span(Profile* profile, int thread, LimbeckOp op, int layer, int64_t operations = 0) : profile_(profile) {
    if (profile_ != nullptr) span_ = {op, layer, thread, 0, Profile::Now(), 0, operations};
  }
  ~Span() {
    if (profile_ == nullptr) return;
    span_.end_ns = Profile::Now();
    profile_->Add(span_);
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  Profile* const profile_;
  LimbeckSpan span_{};
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_PROFILE_H_
