#include "kernels/attention_s16/attention_s16.h"

#include "base/math_scalar.h"

namespace limbeck {
namespace {

int32_t Clamp(int32_t value, int32_t low, int32_t high) { return value < low ? low : (value > high ? high : value); }

// One token's features of one head as whole numbers; returns their scale.
float Round(const AttentionArgs& args, int64_t token, int64_t row, int32_t most, int16_t* whole) {
  const float* x = args.in + ((token / kLanes) * args.in_rows + row) * kLanes + token % kLanes;
  float largest = 0.0f;
  for (int64_t d = 0; d < args.head_width; ++d) largest = ScalarMax(std::fabs(x[d * kLanes]), largest);
  const float inverse = largest > kFlatRange ? static_cast<float>(most) / largest : 0.0f;
  for (int64_t d = 0; d < args.head_width; ++d) {
    whole[d] = static_cast<int16_t>(Clamp(ScalarToInt(x[d * kLanes] * inverse), -most, most));
  }
  return largest > kFlatRange ? largest * (1.0f / static_cast<float>(most)) : 0.0f;
}

}  // namespace

void attention_s16_reference(const AttentionArgs& args) {
  const int64_t length = args.length;
  const int64_t width = args.head_width;
  float* free = args.scratch;
  const auto take = [&free](int64_t floats) {
    float* piece = free;
    free += floats;
    return piece;
  };
  auto* keys = reinterpret_cast<int16_t*>(take(RoundUp(length * width, 2) / 2));
  auto* values = reinterpret_cast<int16_t*>(take(RoundUp(length * width, 2) / 2));
  auto* asked = reinterpret_cast<int16_t*>(take(RoundUp(width, 2) / 2));
  float* key_scale = take(length);
  float* value_scale = take(length);
  float* p = take(length);
  const int32_t most = MostOfQueries(width);
  float largest = 0.0f;
  for (int64_t key = 0; key < length; ++key) {
    key_scale[key] = Round(args, args.first_token + key, args.key_row, most, keys + key * width);
    value_scale[key] = Round(args, args.first_token + key, args.value_row, MostOfValues(length), values + key * width);
    largest = ScalarMax(value_scale[key], largest);
  }
  const bool flat = !(largest > kFlatRange);
  const float up = flat ? 0.0f : static_cast<float>(kMostProbability) / largest;
  const float down = flat ? 0.0f : largest * (1.0f / static_cast<float>(kMostProbability));
  for (int64_t query = 0; query < args.queries; ++query) {
    const float scale = Round(args, args.first_token + query, args.query_row, most, asked) * args.scale;
    float highest = -3.0e38f;
    for (int64_t key = 0; key < length; ++key) {
      int32_t sum = 0;
      for (int64_t d = 0; d < width; ++d) sum += asked[d] * keys[key * width + d];
      p[key] = static_cast<float>(sum) * (scale * key_scale[key]);
      highest = ScalarMax(p[key], highest);
    }
    float total = 0.0f;
    for (int64_t key = 0; key < length; ++key) {
      p[key] = ScalarExp(p[key] - highest);
      total = total + p[key];
    }
    for (int64_t d = 0; d < width; ++d) {
      float all = 0.0f;
      for (int64_t begin = 0; begin < length; begin += kSumKeys) {
        int32_t sum = 0;
        for (int64_t key = begin; key < length && key < begin + kSumKeys; ++key) {
          sum += Clamp(ScalarToInt(p[key] * (value_scale[key] * up)), 0, kMostProbability) * values[key * width + d];
        }
        all = all + static_cast<float>(sum);
      }
      const int64_t token = args.out_token + query;
      args.out[((token / kLanes) * args.out_rows + args.out_row + d) * kLanes + token % kLanes] = (all * down) / total;
    }
  }
}

}  // namespace limbeck
