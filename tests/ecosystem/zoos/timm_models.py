"""One model of each file of timm's that makes models of images: the smallest, or one of them."""

import timm
import torch

from tests.ecosystem.zoos.entries import image

NAMES = """
beit_base_patch16_224 halonet26t test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 test_convnext
cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_s cspnext_tiny davit_tiny deepseek_vit_412m deit_tiny_patch16_224
densenet121 dla34 dpn68 edgenext_small efficientformer_l1 efficientformerv2_s0 test_efficientnet efficientvim_m1
efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_s fastvit_s12 focalnet_tiny_lrf gcvit_xxtiny
gemma4_vit_167m ghostnet_050 hardcorenas_a hgnet_tiny hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small iformer_s
inception_next_atto inception_resnet_v2 inception_v4 lcnetv2_small levit_128s lowformer_b0 test_mambaout test_maxvit
caformer_s18 gmlp_s16_224 mixer_s16_224 tf_mobilenetv3_small_minimal_100 mobilenetv5_300m mobilevit_xxs mvitv2_tiny
naflexvit_base_patch16_siglip nasnetalarge nest_tiny nextvit_small test_nfnet pit_xs_224 pnasnet5large pvt_v2_b0
qwen3_vit_88m_merge rdnet_tiny regnety_002 repghostnet_050 repvit_m1 res2net50_26w_4s resnest26d test_resnet
resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s1 swiftformer_xs
swin_s3_tiny_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_svt_small
vgg11 visformer_tiny test_vit vit_tiny_r_s16_p8_224 test_vit_relpos samvit_base_patch16 vitamin_small_224 volo_d1_224
ese_vovnet19b_slim legacy_xception xception41 xcit_nano_12_p8_224
"""


def _entry(name):
    config = timm.models.get_pretrained_cfg(name)
    return image(name, lambda: _made(name), config.input_size[-1])


def _made(name):
    try:
        with torch.device("meta"):
            return timm.create_model(name, pretrained=False)
    except (RuntimeError, NotImplementedError):  # its initialisation reads values
        return timm.create_model(name, pretrained=False)


ENTRIES = [_entry(name) for name in NAMES.split()]
