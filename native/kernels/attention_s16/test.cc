// The reference against double precision, every kernel against the reference bit for bit, wherever a sequence starts.
#include <cmath>
#include <iterator>

#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;

int64_t Offset(int64_t rows, int64_t token, int64_t row) {
  return ((token / kLanes) * rows + row) * kLanes + token % kLanes;
}

struct Case {
  int64_t first;
  int64_t length;
  int64_t width;
  int64_t queries;
  int64_t out_token;
};

// Inputs are of size 4; the whole numbers behind 512 tokens have nine bits, those behind fewer up to thirteen.
constexpr double kTolerance = 0.02;
constexpr int64_t kHeads = 2;
constexpr int64_t kHead = 1;

AttentionArgs Args(const Case& c, const Buffer<float>& in, Buffer<float>& out, Buffer<float>& scratch) {
  AttentionArgs args;
  args.in = in.data();
  args.in_rows = 3 * kHeads * c.width;
  args.query_row = kHead * c.width;
  args.key_row = (kHeads + kHead) * c.width;
  args.value_row = (2 * kHeads + kHead) * c.width;
  args.head_width = c.width;
  args.scale = 1.0f / std::sqrt(static_cast<float>(c.width));
  args.first_token = c.first;
  args.length = c.length;
  args.queries = c.queries;
  args.out = out.data();
  args.out_rows = kHeads * c.width;
  args.out_row = kHead * c.width;
  args.out_token = c.out_token;
  args.scratch = scratch.data();
  return args;
}

void CheckReference(const Case& c, const AttentionArgs& args) {
  for (int64_t query = 0; query < c.queries; ++query) {
    std::vector<double> p(static_cast<size_t>(c.length));
    double highest = -1e300;
    for (int64_t key = 0; key < c.length; ++key) {
      double s = 0;
      for (int64_t d = 0; d < c.width; ++d) {
        s += static_cast<double>(args.in[Offset(args.in_rows, c.first + query, args.query_row + d)]) *
             args.in[Offset(args.in_rows, c.first + key, args.key_row + d)];
      }
      p[static_cast<size_t>(key)] = s / std::sqrt(static_cast<double>(c.width));
      highest = std::fmax(highest, p[static_cast<size_t>(key)]);
    }
    double total = 0;
    for (double& value : p) total += value = std::exp(value - highest);
    for (int64_t d = 0; d < c.width; ++d) {
      double sum = 0;
      for (int64_t key = 0; key < c.length; ++key) {
        sum += p[static_cast<size_t>(key)] * args.in[Offset(args.in_rows, c.first + key, args.value_row + d)];
      }
      const double got = args.out[Offset(args.out_rows, c.out_token + query, args.out_row + d)];
      CHECK_THAT(std::fabs(got - sum / total) < kTolerance, "query %d: %g, expected %g", int(query), got, sum / total);
    }
  }
}

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
        CheckReference(c, args);
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
