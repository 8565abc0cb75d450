import { torchScript } from '../../lib/networks/torch-script.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(torchScript, 'torch-script')
