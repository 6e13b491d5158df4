#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"

namespace limbeck {
namespace {

inline Vec SelectAbove(Vec test, Vec limit, Vec a, Vec b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(test, limit, _CMP_GT_OQ));
}

}  // namespace
}  // namespace limbeck

#include "kernels/quantize_f32_u8/body.inc"

namespace limbeck {

void quantize_f32_u8_avx2(const QuantizeArgs& args) { Run(args); }

}  // namespace limbeck
