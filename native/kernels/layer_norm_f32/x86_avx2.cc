#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "kernels/layer_norm_f32/layer_norm_f32.h"

#include "kernels/layer_norm_f32/body.inc"

namespace limbeck {

void layer_norm_f32_avx2(const LayerNormArgs& args) { Run(args); }

}  // namespace limbeck
