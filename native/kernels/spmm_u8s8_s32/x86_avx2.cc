// Blocks in pairs (ops/block_pairs.h), whose products are summed in 16 bits before they are widened: three
// multiplications where widening each block's products takes four, and widening its bytes another four.
#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/int8_output_vec.h"
#include "kernels/spmm_u8s8_s32/spmm_u8s8_s32.h"

namespace limbeck {
namespace {

constexpr int kBlocksAtOnce = 2;
constexpr int kMostRows = 4;
constexpr int kBusySums = 0;  // of the three multiplications only the sum's addition waits for the step before
constexpr int MostPanels(int rows) { return rows == 1 ? 2 : 1; }

struct Lanes {
  __m256i first;
  __m256i second;
};
struct Weights {
  __m256i first;
  __m256i second;
};

inline __m256i LoadTokens(const uint8_t* a, int64_t quad) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + quad * (kLanes * kQuad)));
}
template <bool kTurned>
inline Lanes LoadLanes(const uint8_t* a, const uint16_t* quad) {
  const Lanes lanes = {LoadTokens(a, quad[0]), LoadTokens(a, quad[1])};
  if constexpr (!kTurned) return lanes;
  const __m256i every_second = _mm256_set1_epi16(-256);
  return {_mm256_xor_si256(lanes.first, every_second), _mm256_xor_si256(lanes.second, every_second)};
}
inline __m256i LoadFour(const int8_t* w) {
  int32_t packed;
  __builtin_memcpy(&packed, w, sizeof(packed));
  return _mm256_set1_epi32(packed);
}
inline Weights LoadWeights(const int8_t* w, int rows) { return {LoadFour(w), LoadFour(w + rows * kQuad)}; }
inline void Dot(__m256i& sum, const Lanes& lanes, const Weights& weights) {
  const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(lanes.first, weights.first),
                                         _mm256_maddubs_epi16(lanes.second, weights.second));
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace
}  // namespace limbeck

#include "kernels/spmm_u8s8_s32/body.inc"

namespace limbeck {

void spmm_u8s8_s32_avx2(const SpmmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                        int64_t panel_end) {
  Dispatch(args, group_begin, group_end, panel_begin, panel_end);
}

}  // namespace limbeck
