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

// One byte of each lane's word, in place among the three of its neighbours in the quad; the first clears the word. Rows
// of a quad come in order, and all from one thread.
inline void FinishFixed(const FixedRange& fixed, int64_t row, int64_t panel, int64_t lane, Vec y) {
  if (row >= fixed.quads * kQuad) return;
  y = Min(Max(y, Set(fixed.low)), Set(fixed.high));
  const IntVec q = AddInt(ToInt(Mul(y, Set(fixed.inverse))), SetInt(fixed.zero));
  const IntVec byte = MinInt(MaxInt(q, SetInt(0)), SetInt(255));
  auto* words = reinterpret_cast<int32_t*>(fixed.q) + (panel * fixed.quads + row / kQuad) * kLanes + lane;
  switch (row % kQuad) {
    case 0:
      return StoreInt(words, byte);
    case 1:
      return StoreInt(words, OrInt(LoadInt(words), ShiftLeft<8>(byte)));
    case 2:
      return StoreInt(words, OrInt(LoadInt(words), ShiftLeft<16>(byte)));
    default:
      return StoreInt(words, OrInt(LoadInt(words), ShiftLeft<24>(byte)));
  }
}

// `sums` are those of `row` for kWidth tokens of `panel`, starting at `lane`.
template <Ending kEnding>
inline void Finish(const Int8Output& output, int64_t row, int64_t panel, int64_t lane, IntVec sums) {
  const int64_t token = panel * kLanes + lane;
  const IntVec centred = SubInt(sums, MulInt(LoadInt(output.zero + token), SetInt(output.row_sum[row])));
  const Vec scale = Mul(Load(output.scale + token), Set(output.row_scale[row]));
  Vec y = Fma(ToFloat(centred), scale, Set(output.bias[row]));
  const int64_t at = (panel * output.out_rows + row) * kLanes + lane;
  if constexpr (kEnding == Ending::kStaged) {
    y = Min(Max(ActivateCoarse(output.activation, y), Set(-kHalfMax)), Set(kHalfMax));
    StoreHalf(output.staged + at, y);
    Store(output.low + token, Min(Load(output.low + token), y));
    Store(output.high + token, Max(Load(output.high + token), y));
  } else if constexpr (kEnding == Ending::kFixed) {
    FinishFixed(output.fixed, row, panel, lane, ActivateCoarse(output.activation, y));
  } else {
    if constexpr (kEnding == Ending::kResidual) y = Add(y, Load(output.residual + at));
    Store(output.out + at, y);
  }
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_INT8_OUTPUT_VEC_H_
