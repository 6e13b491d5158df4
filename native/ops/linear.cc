#include "ops/linear.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/error.h"

namespace limbeck {
namespace {

// sum of u8 * s8 over the inputs must fit int32, whatever the values; it also keeps block numbers within 16 bits.
constexpr int64_t kMaxInt8Inputs = std::numeric_limits<int32_t>::max() / (255 * 127);
static_assert(kMaxInt8Inputs / kQuad < std::numeric_limits<uint16_t>::max());

// Calls visit(row number in the stack, matrix, row number in the matrix).
template <typename Visit>
void EachRow(const std::vector<MatrixView>& stacked, Visit visit) {
  int64_t row = 0;
  for (const MatrixView& matrix : stacked) {
    for (int64_t r = 0; r < matrix.rows; ++r, ++row) visit(row, matrix, r);
  }
}

// Where each row of the stack begins; null beyond the last, up to `padded`.
std::vector<const int8_t*> RowStarts(const std::vector<MatrixView>& stacked, int64_t padded) {
  std::vector<const int8_t*> rows(static_cast<size_t>(padded), nullptr);
  EachRow(stacked, [&](int64_t row, const MatrixView& matrix, int64_t r) {
    rows[static_cast<size_t>(row)] = matrix.s8 + r * matrix.cols;
  });
  return rows;
}

// Copies a block of `height` rows unless all of it is zero; whether it did.
bool CopyBlock(const int8_t* const* rows, int64_t height, int64_t cols, int64_t quad, int8_t* to) {
  const int64_t width = std::min<int64_t>(kQuad, cols - quad * kQuad);
  int32_t fours[kRowGroup] = {};  // the highest block is a group
  int32_t any = 0;
  for (int64_t r = 0; r < height; ++r) {
    if (rows[r] == nullptr) continue;
    const int8_t* from = rows[r] + quad * kQuad;
    fours[r] = width == kQuad ? LoadQuad(from) : LoadQuad(from, width);  // the one is a single load
    any |= fours[r];
  }
  if (any == 0) return false;
  std::memcpy(to, fours, static_cast<size_t>(height * kQuad));
  return true;
}

// Slice by slice: begin(), and for every row of blocks visit(quad, block) for each block that holds something, and
// end().
template <typename Begin, typename Visit, typename End>
void EachBlock(const std::vector<const int8_t*>& rows, int64_t cols, int64_t height, int64_t slices, Begin begin,
               Visit visit, End end) {
  const int64_t quads = RoundUp(cols, kQuad) / kQuad;
  const auto padded = static_cast<int64_t>(rows.size());
  int8_t block[kRowGroup * kQuad];
  for (int64_t slice = 0; slice < slices; ++slice) {
    begin();
    for (int64_t row = 0; row < padded; row += height) {
      for (int64_t quad = quads * slice / slices; quad < quads * (slice + 1) / slices; ++quad) {
        if (CopyBlock(rows.data() + row, height, cols, quad, block)) visit(static_cast<uint16_t>(quad), block);
      }
      end();
    }
  }
}

// What the sums of a turned block's rows will lack: 255 times every second weight.
void Owe(const int8_t* block, int64_t height, int32_t* owed) {
  for (int64_t i = 1; i < height * kQuad; i += 2) owed[i / kQuad] += 255 * block[i];
}

// `kept`: blocks that hold something.
std::shared_ptr<const Linear::Pairs> MakePairs(const std::vector<MatrixView>& stacked, int64_t padded, int64_t height,
                                               int64_t slices, int64_t kept) {
  auto pairs = std::make_shared<Linear::Pairs>();
  pairs->blocks.reserve(static_cast<size_t>(kept + kept / 8));
  BlockPairer pairer;
  const auto count = [&] { return static_cast<int32_t>(pairs->blocks.size()); };
  EachBlock(
      RowStarts(stacked, padded), stacked.front().cols, height, slices, [&] { pairs->start.push_back(count()); },
      [&](uint16_t quad, const int8_t* block) { pairer.Add(quad, block, height); },
      [&] {
        pairs->turned.push_back(count() + static_cast<int32_t>(pairer.Finish(pairs->blocks)));
        if (pairs->blocks.size() > size_t{std::numeric_limits<int32_t>::max()}) {
          throw Error("an int8 layer has more blocks than can be numbered");
        }
        pairs->start.push_back(count());
      });
  return pairs;
}

}  // namespace

Linear::Plan Linear::MakePlan(const std::vector<MatrixView>& stacked, Arithmetic arithmetic, const SparseCosts& costs,
                              Isa isa, bool staged) {
  Plan plan;
  for (const MatrixView& matrix : stacked) plan.rows += matrix.rows;
  plan.cols = stacked.front().cols;
  plan.arithmetic = arithmetic;
  const int64_t padded = RoundUp(plan.rows, kRowGroup);
  if (arithmetic == Arithmetic::kF32) {
    plan.bytes = Slab::Need<float>(padded * plan.cols) + Slab::Need<float>(padded);
    return plan;
  }
  if (arithmetic == Arithmetic::kBf16) {
    plan.bytes = Slab::Need<uint16_t>(padded * RoundUp(plan.cols, kPair)) + Slab::Need<float>(padded);
    return plan;
  }
  if (plan.cols > kMaxInt8Inputs) {
    throw Error("an int8 layer with " + std::to_string(plan.cols) +
                " inputs could overflow its 32-bit sums; the most is " + std::to_string(kMaxInt8Inputs));
  }
  plan.bytes = Slab::Need<float>(padded) + Slab::Need<float>(padded) + Slab::Need<int32_t>(padded);
  BlockCounter counter(plan.cols);
  EachRow(stacked, [&](int64_t, const MatrixView& matrix, int64_t r) { counter.Add(matrix.s8 + r * plan.cols); });
  const BlockCounts counts = counter.Finish();
  plan.block_rows = ChooseBlockHeight(counts, costs);
  if (plan.block_rows != 0) plan.blocks = counts.KeptOf(plan.block_rows);
  const bool paired = WantsPairs(isa);
  if (plan.block_rows == 0 && !paired) {
    plan.bytes += Slab::Need<int8_t>(padded * RoundUp(plan.cols, kQuad));
    return plan;
  }
  // A kernel that wants pairs takes dense weights as blocks too.
  plan.stored_rows =
      paired && (plan.block_rows == 0 || plan.block_rows > kMostPairedRows) ? kMostPairedRows : plan.block_rows;
  // Sums wait in the output between slices, and staged outputs are no place for integers.
  plan.slices = staged ? 1 : Slices(counts.quads, plan.stored_rows, paired);
  if (paired) {
    plan.pairs = MakePairs(stacked, padded, plan.stored_rows, plan.slices, counts.KeptOf(plan.stored_rows));
  }
  plan.stored = paired ? static_cast<int64_t>(plan.pairs->blocks.size()) : plan.blocks;
  plan.bytes += Slab::Need<int8_t>(plan.stored * plan.stored_rows * kQuad) + Slab::Need<uint16_t>(plan.stored) +
                Slab::Need<int32_t>(plan.slices * (padded / plan.stored_rows + 1));
  if (paired) {
    plan.bytes += Slab::Need<int32_t>(plan.slices * (padded / plan.stored_rows)) + Slab::Need<int32_t>(padded);
  }
  return plan;
}

Linear Linear::Pack(const std::vector<MatrixView>& stacked, const Plan& plan, Slab& slab) {
  Linear linear;
  linear.plan_ = plan;
  linear.bias_ = slab.Take<float>(linear.padded_rows());
  EachRow(stacked, [&](int64_t row, const MatrixView& matrix, int64_t r) { linear.bias_[row] = matrix.bias[r]; });
  if (plan.arithmetic != Arithmetic::kInt8) {
    if (plan.arithmetic == Arithmetic::kF32) linear.PackFloats(stacked, slab);
    if (plan.arithmetic == Arithmetic::kBf16) linear.PackBf16(stacked, slab);
    return linear;
  }
  linear.row_scale_ = slab.Take<float>(linear.padded_rows());
  linear.row_sum_ = slab.Take<int32_t>(linear.padded_rows());
  EachRow(stacked, [&](int64_t row, const MatrixView& matrix, int64_t r) {
    assert(matrix.cols == plan.cols && matrix.s8 != nullptr);
    int32_t sum = 0;
    for (int64_t k = 0; k < plan.cols; ++k) sum += matrix.s8[r * plan.cols + k];
    linear.row_sum_[row] = sum;
    linear.row_scale_[row] = matrix.scale[r];
  });
  if (plan.stored_rows == 0) {
    linear.PackDense(stacked, slab);
  } else if (plan.pairs != nullptr) {
    linear.PackPairs(stacked, *plan.pairs, slab);
    linear.plan_.pairs.reset();
  } else {
    linear.PackBlocks(stacked, slab);
  }
  return linear;
}

void Linear::PackFloats(const std::vector<MatrixView>& stacked, Slab& slab) {
  packed_f32_ = slab.Take<float>(padded_rows() * cols());
  EachRow(stacked, [&](int64_t row, const MatrixView& matrix, int64_t r) {
    float* to = packed_f32_ + row / kRowGroup * cols() * kRowGroup + row % kRowGroup;
    for (int64_t k = 0; k < cols(); ++k) to[k * kRowGroup] = matrix.f32[r * cols() + k];
  });
}

void Linear::PackBf16(const std::vector<MatrixView>& stacked, Slab& slab) {
  packed_bf16_ = slab.Take<uint16_t>(padded_rows() * pairs() * kPair);
  EachRow(stacked, [&](int64_t row, const MatrixView& matrix, int64_t r) {
    uint16_t* to = packed_bf16_ + (row / kRowGroup * pairs() * kRowGroup + row % kRowGroup) * kPair;
    const float* from = matrix.f32 + r * cols();
    for (int64_t k = 0; k < cols(); ++k) {
      const uint16_t rounded = ScalarToBf16(from[k]);
      if (!std::isfinite(ScalarFromBf16(rounded))) throw Error("a weight is too large for bf16");
      to[k / kPair * kRowGroup * kPair + k % kPair] = rounded;
    }
  });
}

void Linear::PackDense(const std::vector<MatrixView>& stacked, Slab& slab) {
  const int64_t quads = RoundUp(cols(), kQuad) / kQuad;
  const int64_t whole = cols() / kQuad;
  packed_s8_ = slab.Take<int8_t>(padded_rows() * quads * kQuad);
  EachRow(stacked, [&](int64_t row, const MatrixView& matrix, int64_t r) {
    int8_t* to = packed_s8_ + (row / kRowGroup * quads * kRowGroup + row % kRowGroup) * kQuad;
    const int8_t* from = matrix.s8 + r * cols();
    for (int64_t quad = 0; quad < whole; ++quad) {
      std::memcpy(to + quad * kRowGroup * kQuad, from + quad * kQuad, kQuad);
    }
    for (int64_t k = whole * kQuad; k < cols(); ++k) to[whole * kRowGroup * kQuad + k % kQuad] = from[k];
  });
}

void Linear::PackBlocks(const std::vector<MatrixView>& stacked, Slab& slab) {
  const int64_t height = plan_.stored_rows;
  packed_s8_ = slab.Take<int8_t>(plan_.stored * height * kQuad);
  block_quad_ = slab.Take<uint16_t>(plan_.stored);
  block_start_ = slab.Take<int32_t>(plan_.slices * (padded_rows() / height + 1));
  int64_t block = 0;
  int32_t* start = block_start_;
  const auto note = [&] { *start++ = static_cast<int32_t>(block); };
  EachBlock(
      RowStarts(stacked, padded_rows()), cols(), height, plan_.slices, note,
      [&](uint16_t quad, const int8_t* weights) {
        std::memcpy(packed_s8_ + block * height * kQuad, weights, static_cast<size_t>(height * kQuad));
        block_quad_[block++] = quad;
      },
      note);
  assert(block == plan_.stored);
}

void Linear::PackPairs(const std::vector<MatrixView>& stacked, const Pairs& pairs, Slab& slab) {
  const int64_t height = plan_.stored_rows;
  const int64_t block_rows = padded_rows() / height;
  packed_s8_ = slab.Take<int8_t>(plan_.stored * height * kQuad);
  block_quad_ = slab.Take<uint16_t>(plan_.stored);
  block_start_ = slab.Take<int32_t>(plan_.slices * (block_rows + 1));
  block_turned_ = slab.Take<int32_t>(plan_.slices * block_rows);
  owed_ = slab.Take<int32_t>(padded_rows());
  std::copy(pairs.start.begin(), pairs.start.end(), block_start_);
  std::copy(pairs.turned.begin(), pairs.turned.end(), block_turned_);
  const std::vector<const int8_t*> rows = RowStarts(stacked, padded_rows());
  int8_t* to = packed_s8_;
  for (int64_t slice = 0; slice < plan_.slices; ++slice) {
    const int32_t* start = block_start_ + slice * (block_rows + 1);
    for (int64_t row = 0; row < block_rows; ++row) {
      for (int32_t at = start[row]; at < start[row + 1]; ++at) {
        const PairedBlock& block = pairs.blocks[static_cast<size_t>(at)];
        block_quad_[at] = block.quad;
        CopyBlock(rows.data() + row * height, height, cols(), block.quad, to);
        if (block.part == BlockPart::kTurned) Owe(to, height, owed_ + row * height);
        if (block.part != BlockPart::kWhole) {
          for (int64_t i = 0; i < height * kQuad; ++i) to[i] = StoredWeight(block.part, to[i], i);
        }
        to += height * kQuad;
      }
    }
  }
}

int64_t Linear::operations_per_panel() const {
  const int64_t products = plan_.block_rows == 0 ? rows() * cols() : plan_.blocks * plan_.block_rows * kQuad;
  return 2 * products * kLanes;
}

const char* Linear::KernelName(const Kernels& kernels) const {
  switch (plan_.arithmetic) {
    case Arithmetic::kF32:
      return kernels.gemm_f32.name;
    case Arithmetic::kBf16:
      return kernels.gemm_bf16.name;
    default:
      return plan_.stored_rows == 0 ? kernels.gemm_u8s8.name : kernels.spmm_u8s8.name;
  }
}

int64_t Linear::SplitGroups(int64_t parts, int64_t part) const {
  if (plan_.stored_rows == 0) return groups() * part / parts;
  // By blocks, plus one a row of blocks for what its sums cost.
  const int64_t rows_a_group = kRowGroup / plan_.stored_rows;
  const auto work = [&](int64_t group) {
    int64_t sum = group * rows_a_group;
    for (int64_t slice = 0; slice < plan_.slices; ++slice) {
      const int32_t* start = block_start_ + slice * (groups() * rows_a_group + 1);
      sum += start[group * rows_a_group] - start[0];
    }
    return sum;
  };
  const int64_t wanted = work(groups()) * part / parts;
  int64_t low = 0;
  int64_t high = groups();
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (work(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void Linear::RunF32(const Kernels& kernels, const float* input, int64_t input_rows, const float* residual,
                    int64_t residual_rows, float* out, int64_t out_rows, Activation activation,
                    const Range& range) const {
  const GemmF32Args args = {input,  packed_f32_, bias_,         residual, out,
                            cols(), input_rows,  residual_rows, out_rows, activation};
  kernels.gemm_f32.run(args, range.group_begin, range.group_end, range.panel_begin, range.panel_end);
}

void Linear::RunBf16(const Kernels& kernels, const uint16_t* input, int64_t input_rows, const float* residual,
                     float* out, uint16_t* out_pairs, int64_t out_rows, Activation activation,
                     const Range& range) const {
  const GemmBf16Args args = {input,     packed_bf16_, bias_,      residual, out,
                             out_pairs, pairs(),      input_rows, out_rows, activation};
  kernels.gemm_bf16.run(args, range.group_begin, range.group_end, range.panel_begin, range.panel_end);
}

void Linear::RunInt8(const Kernels& kernels, const QuantizedPanels& input, const Target& target,
                     const Range& range) const {
  const Int8Output output = {input.scale, input.zero,        row_sum_,        row_scale_,    bias_,
                             target.rows, target.out,        target.residual, target.staged, target.low,
                             target.high, target.activation, target.fixed};
  const int64_t quads = RoundUp(cols(), kQuad) / kQuad;
  if (plan_.stored_rows == 0) {
    kernels.gemm_u8s8.run({input.q, packed_s8_, quads, output}, range.group_begin, range.group_end, range.panel_begin,
                          range.panel_end);
    return;
  }
  kernels.spmm_u8s8.run({input.q, block_start_, block_quad_, packed_s8_, quads, plan_.slices, plan_.stored_rows,
                         padded_rows() / plan_.stored_rows, block_turned_, owed_, output},
                        range.group_begin, range.group_end, range.panel_begin, range.panel_end);
}

}  // namespace limbeck
