import { unet2d } from '../../lib/networks/unet-2d.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(unet2d, 'unet-2d')
