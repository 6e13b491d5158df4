#include "ops/block_pairs.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "base/types.h"

namespace limbeck {
namespace {

constexpr int kMostHalfSum = 64;  // half of 128, what 16 bits allow: see the header
constexpr int kTries = 64;        // candidates that a block is held against before it stays alone
constexpr int kHalfRows = kMostPairedRows * 2;

// A half row each. Compilers know these as one register, whatever the CPU.
using Halves = int16_t __attribute__((vector_size(kHalfRows * sizeof(int16_t))));
using HalfBytes = uint8_t __attribute__((vector_size(kHalfRows)));

Halves Positive(Halves values) { return values & (values > 0); }

int LargestOf(Halves values) {
  int largest = 0;
  for (int i = 0; i < kHalfRows; ++i) largest = std::max<int>(largest, values[i]);
  return largest;
}

uint64_t HalfUp(Halves values) {
  const auto bytes = __builtin_convertvector((values + 1) >> 1, HalfBytes);
  uint64_t packed;
  static_assert(sizeof(packed) == sizeof(bytes));
  std::memcpy(&packed, &bytes, sizeof(packed));
  return packed;
}

}  // namespace

int8_t StoredWeight(BlockPart part, int8_t weight, int64_t k) {
  const auto half = static_cast<int8_t>(weight / 2);
  switch (part) {
    case BlockPart::kWhole:
      return weight;
    case BlockPart::kTurned:
      return static_cast<int8_t>(k % 2 == 0 ? weight : -weight);
    case BlockPart::kHalf:
      return half;
    case BlockPart::kRest:
      return static_cast<int8_t>(weight - half);
    default:
      return 0;
  }
}

bool BlockPairer::Safe(const Limits& limits) { return limits.largest <= kMostHalfSum; }

bool BlockPairer::Fit(const Limits& one, const Limits& other) {
  // No byte is above 64, so none carries into the next; 63 more lifts a sum above 64 to the eighth bit.
  constexpr uint64_t kLift = 0x3f3f3f3f3f3f3f3f;
  constexpr uint64_t kTop = 0x8080808080808080;
  return (((one.positive + other.positive + kLift) | (one.negative + other.negative + kLift)) & kTop) == 0;
}

void BlockPairer::LimitsOf(const int8_t* w, int64_t rows, Limits& as_is, Limits& turned) {
  Halves both = {};
  std::memcpy(&both, w, static_cast<size_t>(rows * kQuad));
  const Halves second = both >> 8;
  const Halves first = (both << 8) >> 8;
  const auto limits = [](Halves positive, Halves negative) {
    const int largest = std::max(LargestOf(positive), LargestOf(negative));
    return Limits{HalfUp(positive), HalfUp(negative), (largest + 1) / 2};
  };
  as_is = limits(Positive(first) + Positive(second), Positive(-first) + Positive(-second));
  turned = limits(Positive(first) + Positive(-second), Positive(-first) + Positive(second));
  // 128 is no byte.
  for (int i = 0; i < kHalfRows; ++i) {
    if (second[i] == INT8_MIN) turned.largest = 2 * kMostHalfSum;
  }
}

void BlockPairer::Add(uint16_t quad, const int8_t* w, int64_t rows) {
  assert(rows <= kMostPairedRows);
  Candidate candidate = {{quad, BlockPart::kWhole}, false, {}, {}};
  LimitsOf(w, rows, candidate.limits, candidate.turned);
  if (Safe(candidate.limits)) {
    as_is_.push_back(candidate);
    return;
  }
  if (Safe(candidate.turned)) {
    candidate.block.part = BlockPart::kTurned;
    turned_.push_back(candidate);
    return;
  }
  std::array<int8_t, size_t{kMostPairedRows} * kQuad> stored;
  for (const BlockPart part : {BlockPart::kHalf, BlockPart::kRest}) {
    for (int64_t i = 0; i < rows * kQuad; ++i) stored[static_cast<size_t>(i)] = StoredWeight(part, w[i], i);
    LimitsOf(stored.data(), rows, candidate.limits, candidate.turned);
    candidate.turned.largest = 2 * kMostHalfSum;  // only whole blocks are turned
    candidate.block.part = part;
    as_is_.push_back(candidate);
  }
}

// Largest first, by counting.
void BlockPairer::Sort(std::vector<Candidate>& candidates, Limits Candidate::* by, std::vector<Candidate>& sorted) {
  std::array<size_t, kMostHalfSum + 2> begin = {};
  const auto place = [by](const Candidate& candidate) {
    return static_cast<size_t>(kMostHalfSum - (candidate.*by).largest);
  };
  for (const Candidate& candidate : candidates) ++begin[place(candidate) + 1];
  for (size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
  sorted.resize(candidates.size());
  for (const Candidate& candidate : candidates) sorted[begin[place(candidate)]++] = candidate;
  candidates.clear();
}

void BlockPairer::PairTurned() {
  for (size_t one = 0; one < sorted_turned_.size(); ++one) {
    if (sorted_turned_[one].taken) continue;
    const Candidate& first = sorted_turned_[one];
    PairedBlock partner = {first.block.quad, BlockPart::kNothing};
    const auto try_one = [&](Candidate& other) {
      if (other.taken || !Safe(other.turned) || !Fit(first.turned, other.turned)) return false;
      other.taken = true;
      partner = {other.block.quad, BlockPart::kTurned};
      return true;
    };
    bool found = false;
    for (size_t other = one + 1; other < sorted_turned_.size() && !found; ++other) {
      found = try_one(sorted_turned_[other]);
    }
    // Else the smallest of those that need not be turned.
    for (size_t tries = 1; tries <= std::min<size_t>(kTries, sorted_.size()) && !found; ++tries) {
      found = try_one(sorted_[sorted_.size() - tries]);
    }
    last_.push_back(first.block);
    last_.push_back(partner);
  }
}

void BlockPairer::PairOthers(std::vector<PairedBlock>& order) {
  // Those without a partner, as a list: next_[i + 1] follows i, next_[0] is its head. Each takes the next largest that
  // it fits, so that the small ones are left for those that fit little else.
  const auto count = static_cast<int32_t>(sorted_.size());
  next_.resize(sorted_.size() + 1);
  int32_t following = count;
  for (int32_t i = count; i-- > 0;) {
    next_[static_cast<size_t>(i) + 1] = following;
    if (!sorted_[static_cast<size_t>(i)].taken) following = i;
  }
  next_[0] = following;
  for (int32_t one = next_[0]; one < count; one = next_[0]) {
    const Candidate& first = sorted_[static_cast<size_t>(one)];
    next_[0] = next_[static_cast<size_t>(one) + 1];
    PairedBlock partner = {first.block.quad, BlockPart::kNothing};
    int32_t before = -1;
    int32_t other = next_[0];
    for (int tries = 0; other < count && tries < kTries; ++tries) {
      if (Fit(first.limits, sorted_[static_cast<size_t>(other)].limits)) {
        partner = sorted_[static_cast<size_t>(other)].block;
        next_[static_cast<size_t>(before) + 1] = next_[static_cast<size_t>(other) + 1];
        break;
      }
      before = other;
      other = next_[static_cast<size_t>(other) + 1];
    }
    order.push_back(first.block);
    order.push_back(partner);
  }
}

int64_t BlockPairer::Finish(std::vector<PairedBlock>& order) {
  Sort(as_is_, &Candidate::limits, sorted_);
  Sort(turned_, &Candidate::turned, sorted_turned_);
  last_.clear();
  PairTurned();
  const size_t before = order.size();
  PairOthers(order);
  const size_t as_they_are = order.size() - before;
  order.insert(order.end(), last_.begin(), last_.end());
  return static_cast<int64_t>(as_they_are);
}

}  // namespace limbeck
