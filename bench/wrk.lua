done = function(s, l, r)
  io.write(string.format("JSON {\"requests\":%d,\"micros\":%d,\"p50\":%d,\"p90\":%d,\"p99\":%d,\"max\":%d,\"errors\":%d}\n",
    s.requests, s.duration, l:percentile(50), l:percentile(90), l:percentile(99), l.max,
    s.errors.connect + s.errors.read + s.errors.write + s.errors.status + s.errors.timeout))
end
