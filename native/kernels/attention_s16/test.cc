// The reference against double precision, every kernel against the reference bit for bit, wherever a sequence starts.
#include <cmath>
#include <iterator>

#include "tests/attention_case.h"
#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;
using test::Case;
using test::kHeads;

// Inputs are of size 4; the whole numbers behind 512 tokens have nine bits, those behind fewer up to thirteen.
constexpr double kTolerance = 0.02;

}  // namespace

int main() {
  test::Random random(5);
  const auto kernels = test::Runnable(KernelTable::attention_s16);
  const AttentionFn reference = test::Reference(KernelTable::attention_s16);
  int64_t cases = 0;
  for (int64_t width : {1, 3, 8, 12, 32, 64}) {
    for (int64_t length : {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 65, 512, 513, 1100}) {
      for (int64_t first : {0, 1, 5, 15, 16, 29}) {
        if (length > 100 && (width != 12 || first > 5)) continue;
        Case c = {first, length, width, length, first};
        if (cases % 3 == 1) {  // the last layer of a classifier: one query, its answer among other sequences'
          c.queries = 1;
          c.out_token = 3;
        }
        const int64_t panels = RoundUp(first + length, kLanes) / kLanes;
        Buffer<float> in(panels * 3 * kHeads * width * kLanes, 1);
        in.FillUniform(random, -4, 4);
        Buffer<float> expected(panels * kHeads * width * kLanes, 1);
        expected.Fill(-7.0f);
        Buffer<float> scratch(AttentionS16Scratch(length, width));
        const AttentionArgs args = Args(c, in, expected, scratch);
        reference(args);
        CheckReference(c, args, kTolerance);
        for (const auto& kernel : kernels) {
          Buffer<float> out(expected.size(), 1);
          out.Fill(-7.0f);  // what belongs to other tokens and heads must stay
          kernel.run(Args(c, in, out, scratch));
          CHECK_THAT(SameBits(out, expected), "%s differs: width %d, length %d, first %d", kernel.name, int(width),
                     int(length), int(first));
        }
        ++cases;
      }
    }
  }
  // Infinities and NaN, which weights that overflow bring about: the same bits everywhere, NaN standing for any NaN.
  const float odd[] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1.0f, 0.0f, -1.0f};
  std::uniform_int_distribution<size_t> draw(0, std::size(odd) - 1);
  for (int round = 0; round < 60; ++round) {
    const Case c = {round % 17, 1 + round % 33, 8, 1 + round % 33, round % 17};
    const int64_t panels = RoundUp(c.first + c.length, kLanes) / kLanes;
    Buffer<float> in(panels * 3 * kHeads * c.width * kLanes, 1);
    in.FillUniform(random, -4, 4);
    for (int64_t i = 0; i < in.size(); i += 1 + round) in[i] = odd[draw(random)];
    Buffer<float> scratch(AttentionS16Scratch(c.length, c.width));
    Buffer<float> expected(panels * kHeads * c.width * kLanes, 1);
    reference(Args(c, in, expected, scratch));
    for (const auto& kernel : kernels) {
      Buffer<float> out(expected.size(), 1);
      kernel.run(Args(c, in, out, scratch));
      for (int64_t i = 0; i < out.size(); ++i) {
        const bool same = std::memcmp(&out[i], &expected[i], sizeof(float)) == 0;
        CHECK_THAT(same || (std::isnan(out[i]) && std::isnan(expected[i])), "%s gives %g, expected %g", kernel.name,
                   out[i], expected[i]);
      }
    }
  }
  test::Report(kernels, cases);
  return 0;
}
