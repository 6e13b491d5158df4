// int8_output.h, a register at a time. Include after base/math_vec.h.
#ifndef LIMBECK_KERNELS_INT8_OUTPUT_VEC_H_
#define LIMBECK_KERNELS_INT8_OUTPUT_VEC_H_

#include "kernels/int8_output.h"

namespace limbeck {
namespace {

// What a kernel's copy of Finish is made for, so that no choice is left inside its loops.
enum class Ending { kPlain, kResidual, kStaged, kFixed };

static inline Ending EndingOf(const Int8Output& output) {
  if (output.out == nullptr) return output.fixed.q == nullptr ? Ending::kStaged : Ending::kFixed;
  return output.residual == nullptr ? Ending::kPlain : Ending::kResidual;
}

// What the rows of a tile share in kWidth tokens of a panel: read before the first row, and written back behind the
// last.
struct Column {
  IntVec zero;
  Vec scale;
  Vec low;  // of staged outputs
  Vec high;
  IntVec word;  // of fixed ones: the bytes of a quad's rows so far
};

template <Ending kEnding>
inline Column BeginColumn(const Int8Output& output, int64_t panel, int64_t lane) {
  const int64_t token = panel * kLanes + lane;
  Column column;
  column.zero = LoadInt(output.zero + token);
  column.scale = Load(output.scale + token);
  if constexpr (kEnding == Ending::kStaged) {
    column.low = Load(output.low + token);
    column.high = Load(output.high + token);
  }
  return column;
}

template <Ending kEnding>
inline void EndColumn(const Int8Output& output, const Column& column, int64_t panel, int64_t lane) {
  if constexpr (kEnding == Ending::kStaged) {
    Store(output.low + panel * kLanes + lane, column.low);
    Store(output.high + panel * kLanes + lane, column.high);
  }
}

// One byte of each lane's word. Rows of a quad come in order and all from one thread, but perhaps not in one tile:
// `last` is the tile's last row.
inline void FinishFixed(const FixedRange& fixed, Column& column, int64_t row, bool last, int64_t panel, int64_t lane,
                        Vec y) {
  if (row >= fixed.quads * kQuad) return;
  y = Min(Max(y, Set(fixed.low)), Set(fixed.high));
  const IntVec q = AddInt(ToInt(Mul(y, Set(fixed.inverse))), SetInt(fixed.zero));
  const IntVec byte = MinInt(MaxInt(q, SetInt(0)), SetInt(255));
  auto* words = reinterpret_cast<int32_t*>(fixed.q) + (panel * fixed.quads + row / kQuad) * kLanes + lane;
  switch (row % kQuad) {
    case 0:
      column.word = byte;
      break;
    case 1:
      column.word = OrInt(column.word, ShiftLeft<8>(byte));
      break;
    case 2:
      column.word = OrInt(column.word, ShiftLeft<16>(byte));
      break;
    default:
      column.word = OrInt(column.word, ShiftLeft<24>(byte));
  }
  if (last || row % kQuad == kQuad - 1) StoreInt(words, column.word);
}

// Where a tile begins within a quad: the bytes of the rows before it.
inline void ResumeFixed(const FixedRange& fixed, Column& column, int64_t row, int64_t panel, int64_t lane) {
  if (row % kQuad == 0 || row >= fixed.quads * kQuad) return;
  column.word = LoadInt(reinterpret_cast<int32_t*>(fixed.q) + (panel * fixed.quads + row / kQuad) * kLanes + lane);
}

// `sums` are those of `row` for kWidth tokens of `panel`, starting at `lane`.
template <Ending kEnding>
inline void Finish(const Int8Output& output, Column& column, int64_t row, bool last, int64_t panel, int64_t lane,
                   IntVec sums) {
  const IntVec centred = SubInt(sums, MulInt(column.zero, SetInt(output.row_sum[row])));
  const Vec scale = Mul(column.scale, Set(output.row_scale[row]));
  Vec y = Fma(ToFloat(centred), scale, Set(output.bias[row]));
  const int64_t at = (panel * output.out_rows + row) * kLanes + lane;
  if constexpr (kEnding == Ending::kStaged) {
    y = Min(Max(ActivateCoarse(output.activation, y), Set(-kHalfMax)), Set(kHalfMax));
    StoreHalf(output.staged + at, y);
    column.low = Min(column.low, y);
    column.high = Max(column.high, y);
  } else if constexpr (kEnding == Ending::kFixed) {
    FinishFixed(output.fixed, column, row, last, panel, lane, ActivateCoarse(output.activation, y));
  } else {
    if constexpr (kEnding == Ending::kResidual) y = Add(y, Load(output.residual + at));
    Store(output.out + at, y);
  }
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_INT8_OUTPUT_VEC_H_
