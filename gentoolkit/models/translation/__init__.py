"""Networks of image-to-image translation: a file for each system, `networks(rngs, ...)` by the name of each part.

| module | system |
|---|---|
| `dsvib` | the domain-specific variational information bound, in every reading of the paper |
| `cyclegan` | one translator for each direction |
| `unit` | one code for both domains, in the forms of 2018 and 2017 |
| `bicyclegan` | pairs; a code of style |
| `munit` | content and style, painted by adaptive norms |
| `encoders`, `decoders`, `patches`, `blocks` | what they are made of |
"""
