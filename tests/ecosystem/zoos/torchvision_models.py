"""Models of torchvision: of images, videos, segmentation, optical flow and detection."""

from functools import partial

import torch
from torchvision import models

from tests.ecosystem.zoos.entries import Entry, image, video


def _made(name, **more):
    return partial(models.get_model, name, weights=None, **more)


_PLAIN = {"weights_backbone": None}
IMAGES = (
    "alexnet densenet121 efficientnet_b0 efficientnet_v2_s googlenet mnasnet0_5 mobilenet_v2 mobilenet_v3_small "
    "regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_1 vgg11 "
    "vgg11_bn wide_resnet50_2 convnext_tiny swin_t swin_v2_t"
)
DETECTION = (
    "fasterrcnn_mobilenet_v3_large_320_fpn retinanet_resnet50_fpn ssdlite320_mobilenet_v3_large fcos_resnet50_fpn "
    "maskrcnn_resnet50_fpn keypointrcnn_resnet50_fpn"
)
SEGMENTATION = ("fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large")


def _swin_v2():
    return models.SwinTransformer(
        [2, 2],
        16,
        [2, 2],
        [2, 4],
        [4, 4],
        block=models.swin_transformer.SwinTransformerBlockV2,
        downsample_layer=models.swin_transformer.PatchMergingV2,
        num_classes=7,
    )


def _maxvit():
    return models.MaxVit((64, 64), 16, 2, [16, 32], [1, 1], 8, 0.1, num_classes=5)


class Boxes(torch.nn.Module):
    """A detector of as many images as a batch has."""

    def __init__(self, name):
        super().__init__()
        self.detector = models.get_model(
            name,
            weights=None,
            weights_backbone=None,
            num_classes=3,
            **({} if "ssd" in name else {"min_size": 64, "max_size": 64}),
        )

    def forward(self, x):
        return self.detector(list(x))


class Features(torch.nn.Module):
    """The maps that a feature pyramid makes."""

    def __init__(self):
        super().__init__()
        self.pyramid = models.detection.backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None)

    def forward(self, x):
        return list(self.pyramid(x).values())


ENTRIES = [
    *(image(name, _made(name), 64) for name in IMAGES.split()),
    image("inception_v3", _made("inception_v3"), 299),
    image("swin, small windows", _swin_v2, 32),
    image("vit", partial(models.VisionTransformer, 32, 8, 2, 4, 32, 64), 32),
    image("maxvit", _maxvit, 64),
    *(image(name, _made(name, num_classes=5, **_PLAIN), 64) for name in SEGMENTATION),
    image("lraspp_mobilenet_v3_large", _made("lraspp_mobilenet_v3_large", **_PLAIN), 64, parameter="input"),
    *(video(name, _made(name), 8, 32) for name in ("r3d_18", "mc3_18", "r2plus1d_18")),
    video("s3d", _made("s3d"), 16, 224),
    video("swin3d_t", _made("swin3d_t"), 4, 32),
    video("mvit_v1", _made("mvit_v1_b"), 16, 224),
    video("mvit_v2", _made("mvit_v2_s"), 16, 224),
    Entry(
        "raft_small",
        _made("raft_small"),
        {"image1": "batch channels height width", "image2": "batch channels height width"},
        lambda: {name: torch.randn(2, 3, 128, 128) for name in ("image1", "image2")},
    ),
    image("resnet18 with a feature pyramid", Features),
    *(image(name, partial(Boxes, name), modes=("eval",)) for name in DETECTION.split()),
]
