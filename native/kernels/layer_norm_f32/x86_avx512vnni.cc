#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "kernels/layer_norm_f32/layer_norm_f32.h"

#include "kernels/layer_norm_f32/body.inc"

namespace limbeck {

void layer_norm_f32_avx512vnni(const LayerNormArgs& args) { Run(args); }

}  // namespace limbeck
