/**
 * The files that `setup` installs, each known by its SHA-256: a mirror, an index or a connection need then not be trusted.
 *
 * The sums are of the wheels that the Python package index gave for these versions on 2026-11-30, downloaded and summed; torch's are
 * the same C++ libraries packed for several Pythons. The official zips are not here: see docs/native.md.
 */

export interface WheelFile {
  readonly file: string
  readonly sizeBytes: number
  /** In hexadecimal. */
  readonly sha256: string
}

/** By the name of the package. */
export const wheelFiles: Readonly<Record<string, readonly WheelFile[]>> = {
  torch: [
    {
      file: 'torch-2.15.0-cp312-cp312-manylinux_2_28_x86_64.whl',
      sizeBytes: 539_172_785,
      sha256: '6d8c86f4e33a9f12a58149bd9b0d64351632b8eb44479be8ff85e5389932dd79',
    },
    {
      file: 'torch-2.15.0-cp313-cp313-manylinux_2_28_x86_64.whl',
      sizeBytes: 539_167_086,
      sha256: '241fea2bac4ed8351307cd13eca5020fbe231f990891be299cf683897caebfbc',
    },
    {
      file: 'torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl',
      sizeBytes: 539_136_850,
      sha256: '48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e',
    },
    {
      file: 'torch-2.15.0-cp314-cp314-manylinux_2_28_x86_64.whl',
      sizeBytes: 539_172_352,
      sha256: '1412c79b0338ea61fa31e74a59d74e412c56307e226d3c6e61ccd6d4613ffc3f',
    },
  ],
  'nvidia-cuda-runtime': [
    {
      file: 'nvidia_cuda_runtime-13.2.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sizeBytes: 2_323_576,
      sha256: '3498247680dfddce31bad102af7e3e26fc795342a3cac64722bb0fa95e7f60f0',
    },
  ],
  'nvidia-cuda-cupti': [
    {
      file: 'nvidia_cuda_cupti-13.2.86-py3-none-manylinux_2_25_x86_64.whl',
      sizeBytes: 11_988_600,
      sha256: '8fa29f15dd8336181f961764d9d95236fc6b931dd0c8fcf8cd70aab0c310b586',
    },
  ],
  'nvidia-cublas': [
    {
      file: 'nvidia_cublas-13.4.1.3-py3-none-manylinux_2_27_x86_64.whl',
      sizeBytes: 404_870_805,
      sha256: 'a5917cb642cfb07f4a0231ee16aec7e2e0357d8cb8b1b78a0c9c68dba3e6afc7',
    },
  ],
  'nvidia-cuda-nvrtc': [
    {
      file: 'nvidia_cuda_nvrtc-13.2.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sizeBytes: 47_018_468,
      sha256: '8111c5130e967b78222ea2124145f8efe9ce201b752b2579a2513100a53be1c5',
    },
  ],
  'nvidia-nvtx': [
    {
      file: 'nvidia_nvtx-13.2.86-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl',
      sizeBytes: 153_463,
      sha256: '968ce72baee2a01791c7d3254000eac81f24677b0b91c62d21b449a1f309c245',
    },
  ],
  'nvidia-cufft': [
    {
      file: 'nvidia_cufft-12.2.0.57-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sizeBytes: 218_258_101,
      sha256: '34da27fadf3979b0b042c43823f0530be8408b86df31ee0108e1ca0b621d4ef6',
    },
  ],
  'nvidia-cufile': [
    {
      file: 'nvidia_cufile-1.17.1.22-py3-none-manylinux_2_27_x86_64.whl',
      sizeBytes: 1_387_670,
      sha256: '87feaf8c3ad20d3d03a01933181801ff6892bace5c8f0b1e4b48f319d3e62d36',
    },
  ],
  'nvidia-cusolver': [
    {
      file: 'nvidia_cusolver-12.2.0.11-py3-none-manylinux_2_27_x86_64.whl',
      sizeBytes: 227_913_465,
      sha256: 'fab5778f6769947389a1a6abc07e635576825a08c0ffc68c3ae7f1392c794b42',
    },
  ],
  'nvidia-cusparse': [
    {
      file: 'nvidia_cusparse-12.7.10.12-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sizeBytes: 150_999_307,
      sha256: '25907c75e4db1581685f06f61cc6cdecc04611765516a52373e0a18ebd69fa00',
    },
  ],
  'nvidia-nvjitlink': [
    {
      file: 'nvidia_nvjitlink-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sizeBytes: 46_642_491,
      sha256: '280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb',
    },
  ],
  'nvidia-cudnn-cu13': [
    {
      file: 'nvidia_cudnn_cu13-9.26.0.51-py3-none-manylinux_2_27_x86_64.whl',
      sizeBytes: 519_150_073,
      sha256: '9c976d539786698c71d6bcdbe2053b7485fae062ff7e1215d2f2ff67b1a2149a',
    },
  ],
  'nvidia-cusparselt-cu13': [
    {
      file: 'nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl',
      sizeBytes: 170_148_586,
      sha256: '786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0',
    },
  ],
  'nvidia-nccl-cu13': [
    {
      file: 'nvidia_nccl_cu13-2.30.7-py3-none-manylinux_2_18_x86_64.whl',
      sizeBytes: 215_965_170,
      sha256: 'cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50',
    },
  ],
  'nvidia-nvshmem-cu13': [
    {
      file: 'nvidia_nvshmem_cu13-3.7.2-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sizeBytes: 135_397_797,
      sha256: 'b9a4f843c62b5dded8ad33fd6d220e007dcd39f06cee549292f5ba14ce4c235c',
    },
  ],
}
