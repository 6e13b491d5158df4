#include "ops/block_sparse.h"

#include <algorithm>
#include <limits>

namespace limbeck {
namespace {

// Inputs of a slice, in quads: four panels of so many fill two thirds of a first-level cache of 48 KiB, and leave a
// third for weights and sums. Half as much again is still faster whole than cut. Blocks four rows high and more use
// each load often enough to take all inputs at once.
constexpr int64_t kSliceQuads = 128;
// Pairs come in no order, so that their one panel has to be in a first-level cache of 32 KiB; this is half of it.
constexpr int64_t kPairedSliceQuads = 256;

}  // namespace

int64_t Slices(int64_t quads, int64_t block_rows, bool paired) {
  if (block_rows >= 4) return paired ? RoundUp(quads, kPairedSliceQuads) / kPairedSliceQuads : 1;
  return quads <= kSliceQuads * 3 / 2 ? 1 : RoundUp(quads, kSliceQuads) / kSliceQuads;
}

BlockCounter::BlockCounter(int64_t cols) : cols_(cols), quads_(RoundUp(cols, kQuad) / kQuad) {
  counts_.quads = quads_;
  for (std::vector<uint8_t>& seen : seen_) seen.assign(static_cast<size_t>(quads_), 0);
}

void BlockCounter::Add(const int8_t* row) {
  const int64_t whole = cols_ / kQuad;
  uint8_t* seen = seen_[0].data();
  for (int64_t quad = 0; quad < whole; ++quad) seen[quad] = LoadQuad(row + quad * kQuad) != 0;
  if (whole < quads_) seen[whole] = LoadQuad(row + whole * kQuad, cols_ - whole * kQuad) != 0;
  ++counts_.rows;
  for (int i = 0; i < kHeights; ++i) {
    if (counts_.rows % kBlockHeights[i] == 0) Close(i);
  }
}

void BlockCounter::Close(int place) {
  uint8_t* seen = seen_[place].data();
  int32_t kept = 0;
  for (int64_t quad = 0; quad < quads_; ++quad) kept += seen[quad];
  counts_.kept[place] += kept;
  if (place + 1 < kHeights) {
    uint8_t* higher = seen_[place + 1].data();
    for (int64_t quad = 0; quad < quads_; ++quad) higher[quad] |= seen[quad];
  }
  std::fill_n(seen, quads_, uint8_t{0});
}

BlockCounts BlockCounter::Finish() {
  for (int i = 0; i < kHeights; ++i) {
    if (counts_.rows % kBlockHeights[i] != 0) Close(i);
  }
  return counts_;
}

SparseCosts SparseCosts::Default(bool paired) {
  SparseCosts costs;
  if (paired) costs = {1.0f, {1.2f, 1.05f, 1.0f, 1.0f}, 9.0f};
  return costs;
}

SparseCosts SparseCosts::Only(int height) {
  SparseCosts costs;
  costs.dense = height == 0 ? 0.0f : 1e9f;
  for (int i = 0; i < kHeights; ++i) costs.blocks[i] = kBlockHeights[i] == height ? 0.0f : 1e9f;
  costs.row_of_blocks = 0.0f;
  return costs;
}

int ChooseBlockHeight(const BlockCounts& counts, const SparseCosts& costs) {
  const auto rows = static_cast<double>(RoundUp(counts.rows, kRowGroup));
  double best = rows * static_cast<double>(counts.quads) * static_cast<double>(costs.dense);
  int height = 0;
  for (int i = 0; i < kHeights; ++i) {
    if (counts.kept[i] > std::numeric_limits<int32_t>::max()) continue;  // blocks are numbered in 32 bits
    const auto slices = static_cast<double>(Slices(counts.quads, kBlockHeights[i]));
    const double cost = static_cast<double>(counts.kept[i]) * kBlockHeights[i] * static_cast<double>(costs.blocks[i]) +
                        slices * rows / kBlockHeights[i] * static_cast<double>(costs.row_of_blocks);
    if (cost < best) {
      best = cost;
      height = kBlockHeights[i];
    }
  }
  return height;
}

}  // namespace limbeck
