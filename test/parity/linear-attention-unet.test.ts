import { linearAttentionUnet } from '../../lib/networks/linear-attention-unet.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(linearAttentionUnet, 'linear-attention-unet')
