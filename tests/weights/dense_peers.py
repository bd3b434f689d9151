"""Other projects' dense models, as small as `BACKBONE`: what makes their names and golden files.

mmsegmentation and mmdetection need mmcv, of which mmcv-lite will do: it lacks the compiled operators, which no weights
belong to.
"""

import importlib.machinery
import sys
import types

BACKBONE = {"embed_dim": 4, "depths": (2, 1), "num_heads": (1, 2), "window_size": 2, "patch_size": 2, "mlp_ratio": 1}
CHANNELS, AUXILIARY, WIDTH, CLASSES = 4, 3, 6, 3
IN_CHANNELS = [4, 8]  # of the maps of both stages


def without_operators():
    """Let mmseg and mmdet be imported with mmcv-lite: empty classes take the place of mmcv.ops."""
    import mmcv
    import torch

    class Operators(types.ModuleType):
        __path__ = ()

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (torch.nn.Module,), {})

    class Finder:
        def find_spec(self, name, path=None, target=None):
            found = name == "mmcv.ops" or name.startswith("mmcv.ops.")
            return importlib.machinery.ModuleSpec(name, self, is_package=True) if found else None

        def create_module(self, spec):
            return Operators(spec.name)

        def exec_module(self, module):
            pass

    mmcv.__version__ = "2.1.0"  # the newest that both packages accept
    sys.meta_path.insert(0, Finder())


def _openmmlab_backbone(cls):
    return cls(
        pretrain_img_size=16,
        embed_dims=BACKBONE["embed_dim"],
        depths=BACKBONE["depths"],
        num_heads=BACKBONE["num_heads"],
        window_size=BACKBONE["window_size"],
        patch_size=BACKBONE["patch_size"],
        mlp_ratio=BACKBONE["mlp_ratio"],
        strides=(BACKBONE["patch_size"], 2),
        out_indices=(0, 1),
        drop_path_rate=0.0,
    )


def mmsegmentation_upernet():
    """The model of mmsegmentation's configuration files, part by part."""
    import torch

    without_operators()
    from mmseg.models.backbones import SwinTransformer
    from mmseg.models.decode_heads import FCNHead, UPerHead

    common = {"num_classes": CLASSES, "norm_cfg": {"type": "BN"}, "align_corners": False}
    module = torch.nn.Module()
    module.backbone = _openmmlab_backbone(SwinTransformer)
    module.decode_head = UPerHead(in_channels=IN_CHANNELS, in_index=[0, 1], channels=CHANNELS, **common)
    module.auxiliary_head = FCNHead(
        in_channels=IN_CHANNELS[0], in_index=0, channels=AUXILIARY, num_convs=1, concat_input=False, **common
    )
    return module


def mmdetection_rcnn(stages, convs=0, class_agnostic=False):
    """Mask R-CNN of mmdetection's configuration files, part by part; its cascade where there are several stages."""
    import torch

    without_operators()
    from mmdet.models.backbones import SwinTransformer
    from mmdet.models.dense_heads import RPNHead
    from mmdet.models.necks import FPN
    from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    def box_head():
        return ConvFCBBoxHead(
            num_shared_convs=convs,
            num_shared_fcs=1 if convs else 2,
            in_channels=CHANNELS,
            conv_out_channels=CHANNELS,
            fc_out_channels=WIDTH,
            num_classes=CLASSES,
            norm_cfg={"type": "BN"} if convs else None,
            reg_class_agnostic=class_agnostic,
        )

    def mask_head():
        return FCNMaskHead(in_channels=CHANNELS, conv_out_channels=CHANNELS, num_classes=CLASSES)

    module = torch.nn.Module()
    module.backbone = _openmmlab_backbone(SwinTransformer)
    module.neck = FPN(IN_CHANNELS, CHANNELS, num_outs=3)
    anchors = {"type": "AnchorGenerator", "scales": [8], "ratios": [0.5, 1.0, 2.0], "strides": [2, 4, 8]}
    module.rpn_head = RPNHead(in_channels=CHANNELS, feat_channels=CHANNELS, anchor_generator=anchors)
    module.roi_head = torch.nn.Module()
    if stages == 1:
        module.roi_head.bbox_head, module.roi_head.mask_head = box_head(), mask_head()
    else:
        module.roi_head.bbox_head = torch.nn.ModuleList(box_head() for _ in range(stages))
        module.roi_head.mask_head = torch.nn.ModuleList(mask_head() for _ in range(stages))
    return module


def torchvision_mask_rcnn(convs=0):
    """torchvision's Mask R-CNN on the layers of its Swin Transformer."""
    import torch
    from torchvision.models import SwinTransformer
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

    swin = SwinTransformer(
        patch_size=[BACKBONE["patch_size"]] * 2,
        embed_dim=BACKBONE["embed_dim"],
        depths=list(BACKBONE["depths"]),
        num_heads=list(BACKBONE["num_heads"]),
        window_size=[BACKBONE["window_size"]] * 2,
        mlp_ratio=BACKBONE["mlp_ratio"],
    )
    box_head = TwoMLPHead(CHANNELS * 49, WIDTH)
    if convs:
        box_head = FastRCNNConvFCHead((CHANNELS, 7, 7), [CHANNELS] * convs, [WIDTH], norm_layer=torch.nn.BatchNorm2d)
    return MaskRCNN(
        BackboneWithFPN(swin.features, {"1": "0", "3": "1"}, IN_CHANNELS, CHANNELS),
        rpn_anchor_generator=AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3),
        box_head=box_head,
        box_predictor=FastRCNNPredictor(WIDTH, CLASSES + 1),
        mask_head=MaskRCNNHeads(CHANNELS, [CHANNELS] * 4, 1),
        mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES + 1),
    )


def transformers_upernet(stages=2):
    """transformers' UPerNet; where it has four stages, each has one block with one head."""
    from transformers import SwinConfig, UperNetConfig, UperNetForSemanticSegmentation

    depths, num_heads = (BACKBONE["depths"], BACKBONE["num_heads"]) if stages == 2 else ((1,) * stages, (1,) * stages)
    backbone = SwinConfig(
        image_size=16,
        **{**BACKBONE, "depths": list(depths), "num_heads": list(num_heads)},
        out_features=[f"stage{place + 1}" for place in range(stages)],
        drop_path_rate=0.0,
        attn_implementation="sdpa",
    )
    config = UperNetConfig(
        backbone_config=backbone,
        hidden_size=CHANNELS,
        auxiliary_in_channels=IN_CHANNELS[0] * 2 ** (stages - 2),
        auxiliary_channels=AUXILIARY,
        num_labels=CLASSES,
    )
    return UperNetForSemanticSegmentation(config)
