# For tools that know only node-gyp: hands the work to cmake-js. package.json has "gypfile": false, and npm packages
# leave this file out, so no installation ever compiles.
{
  'targets': [
    {
      'target_name': 'dpm_torch',
      'type': 'none',
      'actions': [
        {
          'action_name': 'cmake_js',
          'inputs': ['CMakeLists.txt', 'scripts/build-addon.mjs'],
          'outputs': ['<(PRODUCT_DIR)/dpm-torch.node'],
          'action': ['node', 'scripts/build-addon.mjs', '--work=build/cmake'],
        },
      ],
    },
  ],
}
