// One panel, of floats or of half-precision numbers -> u8 quads with a scale and a zero point per token: x = scale * (q
// - zero).
//
//   inverse = 255 / (high - low), scale = (high - low) * (1 / 255), zero = clamp(round(-low * inverse), 0, 255)
//   q = clamp(round(x * inverse) + zero, 0, 255)
//
// with low <= 0 <= high, rounding half to even; where the range is fixed beforehand, of min(max(x, low), high). A lane
// whose range does not exceed kFlatRange counts as all zero: scale 1, zero point 0. Only where weights have driven x
// beyond float does the first clamp do anything; the sums that follow rely on it. NaN becomes 0. The same rule in
// numpy: limbeck/engine/quantization.py.
#ifndef LIMBECK_KERNELS_QUANTIZE_F32_U8_H_
#define LIMBECK_KERNELS_QUANTIZE_F32_U8_H_

#include "base/types.h"

namespace limbeck {

// 255 / range stays finite above this, and no model means anything by smaller values.
static constexpr float kFlatRange = 1e-30f;

struct QuantizeArgs {
  const float* x;     // [rows][16]; null: x is half precision, and its range must be given
  const float* low;   // [16] the range, taken as given; both null: find it first
  const float* high;  // [16]
  uint8_t* q;         // [(rows + 3) / 4][16][4]; inputs beyond `rows` become 0
  float* scale;       // [16]
  int32_t* zero;      // [16]
  int64_t rows;
  const uint16_t* half = nullptr;  // [rows][16], where x is null
  bool fixed = false;              // the range is not x's own: x is first brought within it
};

using QuantizeFn = void (*)(const QuantizeArgs& args);

#define LIMBECK_KERNEL(function, isa) void function(const QuantizeArgs& args);
#include "kernels/quantize_f32_u8/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_QUANTIZE_F32_U8_H_
