#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"

#include "kernels/quantize_f32_u8/body.inc"

namespace limbeck {

void quantize_f32_u8_avx2(const QuantizeArgs& args) { Run(args); }

}  // namespace limbeck
