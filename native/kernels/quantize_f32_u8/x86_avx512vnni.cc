#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"

namespace limbeck {
namespace {

inline Vec SelectAbove(Vec test, Vec limit, Vec a, Vec b) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(test, limit, _CMP_GT_OQ), b, a);
}

}  // namespace
}  // namespace limbeck

#include "kernels/quantize_f32_u8/body.inc"

namespace limbeck {

void quantize_f32_u8_avx512vnni(const QuantizeArgs& args) { Run(args); }

}  // namespace limbeck
