// 8 keys x 32 queries, then 8 value features x 32 queries: 16 accumulators.
#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/attention_f32/attention_f32.h"

namespace limbeck {
namespace {
constexpr int kTileKeys = 8;
constexpr int kTileVecs = 2;
}  // namespace
}  // namespace limbeck

#include "kernels/attention_f32/body.inc"

namespace limbeck {

void attention_f32_avx512vnni(const AttentionArgs& args) { Run(args); }

}  // namespace limbeck
